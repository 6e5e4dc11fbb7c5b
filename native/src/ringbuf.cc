// Ring buffer consumer: a thread of its own reads the kernel's buffer, JavaScript gets whole batches. When JavaScript
// falls behind, records beyond the queue's bound are dropped and counted, so that neither memory nor the kernel's
// buffer fills up because of a slow reader.
#include "ringbuf.h"

#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "args.h"
#include "libbpf_log.h"
#include "map.h"

namespace fairlead
{

namespace
{

struct Batch {
	Bytes bytes;                                  // records one after the other, each starting on a multiple of 8
	std::vector<std::pair<size_t, size_t>> spans; // offset and length of each
};

struct RingCloser {
	void operator()(ring_buffer *ring) const { ring_buffer__free(ring); }
};

/// The part that thread and JavaScript share; whoever lets go last destroys it.
class Queue
{
public:
	explicit Queue(size_t limit) : limit_(limit) {}

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

/// On the JavaScript thread; env is null when the environment ends with wake-ups still queued.
void Deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Queue> *queue, std::nullptr_t *)
{
	if (env == nullptr || callback.IsEmpty() || (*queue)->stopping())
		return;
	try {
		CallBack(env, callback, (*queue)->Take());
	} catch (const Napi::Error &) {
		// The callback never throws (facade/ring.ts): the environment is ending and runs no more JavaScript.
	}
}

using Wake = Napi::TypedThreadSafeFunction<std::shared_ptr<Queue>, std::nullptr_t, Deliver>;

class RingHandle final : public Handle
{
public:
	RingHandle(std::shared_ptr<Registry> registry, UniqueFd map_fd, int poll_ms, size_t limit)
		: Handle(std::move(registry)), map_fd_(std::move(map_fd)), poll_ms_(poll_ms),
		  queue_(std::make_shared<Queue>(limit))
	{
		stop_fd_ = OwnFd(eventfd(0, EFD_CLOEXEC), "eventfd", "ring buffer: cannot create an event");
		LibbpfLog quiet;
		ring_.reset(ring_buffer__new(map_fd_.get(), OnRecord, this, nullptr));
		if (!ring_)
			throw SysError(errno, "ring_buffer__new", "ring buffer: cannot open");
	}
	~RingHandle() override { Close(); }

	void Start(Napi::Env env, Napi::Function callback)
	{
		auto context = std::make_unique<std::shared_ptr<Queue>>(queue_);
		wake_ = Wake::New(env, callback, "fairlead:ringbuf", 0, 1, context.get(),
				  [](Napi::Env, void *, std::shared_ptr<Queue> *last) {
					  std::unique_ptr<std::shared_ptr<Queue>> owner(last);
				  });
		std::ignore = context.release();
		// Hooks run last in, first out: the thread has ended before the environment takes the wake-up function
		// away.
		env_ = env;
		napi_add_env_cleanup_hook(env_, CloseAtExit, this);
		thread_ = std::thread([this] { Run(); });
	}

	void Close() noexcept override
	{
		if (!thread_.joinable())
			return;
		queue_->Stop();
		eventfd_write(stop_fd_.get(), 1);
		thread_.join();
		napi_remove_env_cleanup_hook(env_, CloseAtExit, this);
		wake_.Abort();
		ring_.reset();
		stop_fd_.Reset();
		map_fd_.Reset();
	}

	void Acknowledge()
	{
		if (thread_.joinable() && queue_->Done())
			wake_.NonBlockingCall();
	}

	uint64_t lost() { return queue_->lost(); }

private:
	static void CloseAtExit(void *self) { static_cast<RingHandle *>(self)->Close(); }

	static int OnRecord(void *context, void *data, size_t size)
	{
		auto *self = static_cast<RingHandle *>(context);
		if (self->queue_->stopping())
			return -ECANCELED;
		if (self->queue_->Push(static_cast<const uint8_t *>(data), size))
			self->wake_.NonBlockingCall();
		return 0;
	}

	void Run()
	{
		pollfd fds[2] = {{ring_buffer__epoll_fd(ring_.get()), POLLIN, 0}, {stop_fd_.get(), POLLIN, 0}};
		while (!queue_->stopping()) {
			poll(fds, 2, poll_ms_);
			ring_buffer__consume(ring_.get()); // also what producers submitted without a wake-up
		}
	}

	UniqueFd map_fd_;
	UniqueFd stop_fd_;
	int poll_ms_;
	std::shared_ptr<Queue> queue_;
	std::unique_ptr<ring_buffer, RingCloser> ring_;
	Wake wake_;
	napi_env env_ = nullptr;
	std::thread thread_;
};

/// (map, onBatch, pollMs, maxQueued)
Napi::Value Open(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	if (map.shape().type != BPF_MAP_TYPE_RINGBUF)
		throw ArgError("map: " + map.shape().name + " is no ring buffer");
	if (!info[1].IsFunction())
		throw ArgError("onRecords: expected a function");
	uint32_t poll_ms = U32Arg(info, 2, "pollMs");
	uint32_t limit = U32Arg(info, 3, "maxQueued");
	if (poll_ms == 0 || poll_ms > 60000)
		throw ArgError("pollMs: expected 1 to 60000");
	if (limit == 0)
		throw ArgError("maxQueued: expected 1 or more");
	auto ring = std::make_unique<RingHandle>(State::Of(info.Env()).registry(), Duplicate(map.fd()),
						 static_cast<int>(poll_ms), limit);
	ring->Start(info.Env(), info[1].As<Napi::Function>());
	return Wrap(info.Env(), std::move(ring));
}

Napi::Value Acknowledge(const Napi::CallbackInfo &info)
{
	HandleArg<RingHandle>(info, 0, "ring").Acknowledge();
	return info.Env().Undefined();
}

Napi::Value Lost(const Napi::CallbackInfo &info)
{
	return Napi::BigInt::New(info.Env(), HandleArg<RingHandle>(info, 0, "ring").lost());
}

Napi::Value CloseRing(const Napi::CallbackInfo &info)
{
	HandleArg<RingHandle>(info, 0, "ring").Close();
	return info.Env().Undefined();
}

} // namespace

void ExportRingBuffer(Napi::Object exports)
{
	Export<Open>(exports, "ringOpen");
	Export<Acknowledge>(exports, "ringAcknowledge");
	Export<Lost>(exports, "ringLost");
	Export<CloseRing>(exports, "ringClose");
}

} // namespace fairlead
