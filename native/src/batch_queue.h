// Records on their way from a thread of ours to JavaScript: batches, never more than JavaScript takes, and beyond a bound dropped
// and counted, so that a slow reader fills no memory.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "args.h"

namespace fairlead
{

struct Batch {
	Bytes bytes;                                  // records one after the other, each starting on a multiple of 8
	std::vector<std::pair<size_t, size_t>> spans; // offset and length of each
};

/// The part that thread and JavaScript share; whoever lets go last destroys it.
class BatchQueue
{
public:
	explicit BatchQueue(size_t limit) : limit_(limit) {}

	/// @returns whether JavaScript has to be woken.
	bool Push(const uint8_t *data, size_t size)
	{
		std::lock_guard lock(mutex_);
		if (pending_.spans.size() >= limit_) {
			lost_++;
			return false;
		}
		size_t offset = (pending_.bytes.size() + 7) & ~size_t{7};
		pending_.bytes.resize(offset);
		pending_.bytes.insert(pending_.bytes.end(), data, data + size);
		pending_.spans.emplace_back(offset, size);
		return !std::exchange(awake_, true);
	}

	/// Stays awake until Done(): nothing more is queued for JavaScript while it works on a batch.
	Batch Take()
	{
		std::lock_guard lock(mutex_);
		return std::exchange(pending_, {});
	}

	/// @returns whether records came meanwhile, so that JavaScript has to be woken again.
	bool Done()
	{
		std::lock_guard lock(mutex_);
		awake_ = !pending_.spans.empty();
		return awake_;
	}

	uint64_t lost()
	{
		std::lock_guard lock(mutex_);
		return lost_;
	}

	void Stop() { stopping_ = true; }
	bool stopping() const { return stopping_; }

private:
	const size_t limit_;
	std::mutex mutex_;
	Batch pending_;
	uint64_t lost_ = 0;
	bool awake_ = false;
	std::atomic<bool> stopping_ = false;
};

/// On the JavaScript thread; env is null when the environment ends with wake-ups still queued. Calls (bytes, spans), where spans are
/// pairs of offset and length.
void DeliverBatch(Napi::Env env, Napi::Function callback, std::shared_ptr<BatchQueue> *queue, std::nullptr_t *);

using BatchWake = Napi::TypedThreadSafeFunction<std::shared_ptr<BatchQueue>, std::nullptr_t, DeliverBatch>;

/// @returns what wakes JavaScript for a queue; the queue lives as long as it.
BatchWake NewBatchWake(Napi::Env env, Napi::Function callback, const char *name,
		       const std::shared_ptr<BatchQueue> &queue);

} // namespace fairlead
