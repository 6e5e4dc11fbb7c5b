// Ring buffer consumer: a thread of its own reads the kernel's buffer, JavaScript gets whole batches. When JavaScript
// falls behind, records beyond the queue's bound are dropped and counted, so that neither memory nor the kernel's
// buffer fills up because of a slow reader.
#include "ringbuf.h"

#include <bpf/libbpf.h>
#include <poll.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "args.h"
#include "batch_reader.h"
#include "libbpf_log.h"
#include "map.h"

namespace fairlead
{

namespace
{

struct RingCloser {
	void operator()(ring_buffer *ring) const { ring_buffer__free(ring); }
};

class RingHandle final : public BatchReader
{
public:
	RingHandle(std::shared_ptr<Registry> registry, UniqueFd map_fd, int poll_ms, size_t limit)
		: BatchReader(std::move(registry), limit, "ring buffer"), map_fd_(std::move(map_fd)), poll_ms_(poll_ms)
	{
		LibbpfLog quiet;
		ring_.reset(ring_buffer__new(map_fd_.get(), OnRecord, this, nullptr));
		if (!ring_)
			throw SysError(errno, "ring_buffer__new", "ring buffer: cannot open");
	}
	~RingHandle() override { Close(); }

	uint64_t lost() { return dropped(); }

private:
	static int OnRecord(void *context, void *data, size_t size)
	{
		auto *self = static_cast<RingHandle *>(context);
		if (self->stopping())
			return -ECANCELED;
		self->Push(static_cast<const uint8_t *>(data), size);
		return 0;
	}

	void Run() override
	{
		pollfd fds[2] = {{ring_buffer__epoll_fd(ring_.get()), POLLIN, 0}, {stop_fd(), POLLIN, 0}};
		while (!stopping()) {
			poll(fds, 2, poll_ms_);
			ring_buffer__consume(ring_.get()); // also what producers submitted without a wake-up
		}
	}

	void Release() noexcept override
	{
		ring_.reset();
		map_fd_.Reset();
	}

	UniqueFd map_fd_;
	int poll_ms_;
	std::unique_ptr<ring_buffer, RingCloser> ring_;
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
	ring->Start(info.Env(), info[1].As<Napi::Function>(), "fairlead:ringbuf");
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
