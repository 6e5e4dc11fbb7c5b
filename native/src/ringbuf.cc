// Ring buffer consumer: a thread of its own reads the kernel's buffer, JavaScript gets whole batches. When JavaScript
// falls behind, records beyond the queue's bound are dropped and counted, so that neither memory nor the kernel's
// buffer fills up because of a slow reader.
#include "ringbuf.h"

#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "args.h"
#include "batch_queue.h"
#include "libbpf_log.h"
#include "map.h"

namespace fairlead
{

namespace
{

struct RingCloser {
	void operator()(ring_buffer *ring) const { ring_buffer__free(ring); }
};

class RingHandle final : public Handle
{
public:
	RingHandle(std::shared_ptr<Registry> registry, UniqueFd map_fd, int poll_ms, size_t limit)
		: Handle(std::move(registry)), map_fd_(std::move(map_fd)), poll_ms_(poll_ms),
		  queue_(std::make_shared<BatchQueue>(limit))
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
		wake_ = NewBatchWake(env, callback, "fairlead:ringbuf", queue_);
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
	std::shared_ptr<BatchQueue> queue_;
	std::unique_ptr<ring_buffer, RingCloser> ring_;
	BatchWake wake_;
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
