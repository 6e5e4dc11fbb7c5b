// Batches of records for JavaScript.
#include "batch_queue.h"

#include <tuple>

namespace fairlead
{

namespace
{

void CallBack(Napi::Env env, Napi::Function callback, Batch batch)
{
	Napi::Value bytes = BytesToJs(env, std::move(batch.bytes));
	Napi::Uint32Array spans = Napi::Uint32Array::New(env, batch.spans.size() * 2);
	for (size_t i = 0; i < batch.spans.size(); i++) {
		spans[i * 2] = static_cast<uint32_t>(batch.spans[i].first);
		spans[i * 2 + 1] = static_cast<uint32_t>(batch.spans[i].second);
	}
	callback.Call({bytes, spans});
}

} // namespace

void DeliverBatch(Napi::Env env, Napi::Function callback, std::shared_ptr<BatchQueue> *queue, std::nullptr_t *)
{
	if (env == nullptr || callback.IsEmpty() || (*queue)->stopping())
		return;
	try {
		CallBack(env, callback, (*queue)->Take());
	} catch (const Napi::Error &) {
		// The callback never throws (facade/batches.ts): the environment is ending and runs no more JavaScript.
	}
}

BatchWake NewBatchWake(Napi::Env env, Napi::Function callback, const char *name,
		       const std::shared_ptr<BatchQueue> &queue)
{
	auto context = std::make_unique<std::shared_ptr<BatchQueue>>(queue);
	BatchWake wake = BatchWake::New(env, callback, name, 0, 1, context.get(),
					[](Napi::Env, void *, std::shared_ptr<BatchQueue> *last) {
						std::unique_ptr<std::shared_ptr<BatchQueue>> owner(last);
					});
	std::ignore = context.release();
	return wake;
}

} // namespace fairlead
