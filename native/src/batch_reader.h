// A thread of ours that reads records and hands them to JavaScript in batches; what the ring buffer and the packet socket have in
// common.
#pragma once

#include <sys/eventfd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "args.h"
#include "batch_queue.h"

namespace fairlead
{

/// A derived class reads in Run() until stopping() and lets go of what it reads from in Release(). Its destructor calls Close().
class BatchReader : public Handle
{
public:
	/// @param what  subject of errors
	BatchReader(std::shared_ptr<Registry> registry, size_t limit, const char *what)
		: Handle(std::move(registry)), queue_(std::make_shared<BatchQueue>(limit)),
		  stop_fd_(OwnFd(eventfd(0, EFD_CLOEXEC), "eventfd", std::string(what) + ": cannot create an event"))
	{
	}

	void Start(Napi::Env env, Napi::Function callback, const char *name)
	{
		wake_ = NewBatchWake(env, callback, name, queue_);
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
		stop_fd_.Reset();
		Release();
	}

	/// JavaScript is done with a batch.
	void Acknowledge()
	{
		if (thread_.joinable() && queue_->Done())
			wake_.NonBlockingCall();
	}

protected:
	/// On the reading thread.
	virtual void Run() = 0;
	/// After it has ended.
	virtual void Release() noexcept = 0;

	bool stopping() const { return queue_->stopping(); }
	/// Readable when the thread is to stop.
	int stop_fd() const { return stop_fd_.get(); }
	uint64_t dropped() { return queue_->lost(); }

	void Push(const uint8_t *data, size_t size)
	{
		if (queue_->Push(data, size))
			wake_.NonBlockingCall();
	}

private:
	static void CloseAtExit(void *self) { static_cast<BatchReader *>(self)->Close(); }

	std::shared_ptr<BatchQueue> queue_;
	UniqueFd stop_fd_;
	BatchWake wake_;
	napi_env env_ = nullptr;
	std::thread thread_;
};

} // namespace fairlead
