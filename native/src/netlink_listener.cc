// What the kernel tells everybody over netlink: a thread of its own reads, JavaScript gets whole messages in batches. What was lost,
// because the kernel's buffer or our queue was full, is counted.
#include "netlink_listener.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "args.h"
#include "batch_reader.h"
#include "netns.h"

namespace fairlead
{

namespace
{

constexpr uint32_t kLargestBuffer = 1 << 30;
/// The kernel sends no message to groups that is longer.
constexpr size_t kLargestDatagram = 1 << 16;

struct ListenSpec {
	std::string netns;
	int protocol = 0;
	std::vector<uint32_t> groups;
	/// Classic BPF: returns 0 for what is not to be queued.
	std::vector<sock_filter> filter;
	/// Of the kernel.
	uint32_t buffer_bytes = 0;
};

void SetOption(const UniqueFd &fd, int level, int name, const void *value, size_t size, const char *what)
{
	if (setsockopt(fd.get(), level, name, value, static_cast<socklen_t>(size)) < 0)
		throw SysError(errno, "setsockopt", std::string("netlink listener: cannot ") + what);
}

UniqueFd OpenListener(ListenSpec &&spec)
{
	UniqueFd fd = OpenSocketIn(spec.netns, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, spec.protocol);
	// as much as is allowed to whom more is not
	setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &spec.buffer_bytes, sizeof spec.buffer_bytes);
	setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &spec.buffer_bytes, sizeof spec.buffer_bytes);
	if (!spec.filter.empty()) {
		sock_fprog program{static_cast<unsigned short>(spec.filter.size()), spec.filter.data()};
		SetOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program, "attach its filter");
	}
	sockaddr_nl address{};
	address.nl_family = AF_NETLINK;
	if (bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0)
		throw SysError(errno, "bind", "netlink listener: cannot bind");
	for (uint32_t group : spec.groups)
		SetOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group, "join a group");
	return fd;
}

class NetlinkListenerHandle final : public BatchReader
{
public:
	NetlinkListenerHandle(std::shared_ptr<Registry> registry, ListenSpec &&spec, size_t limit)
		: BatchReader(std::move(registry), limit, "netlink listener"), fd_(OpenListener(std::move(spec)))
	{
	}
	~NetlinkListenerHandle() override { Close(); }

	/// Messages that our queue had no room for, and times when the kernel's buffer was full.
	uint64_t lost() { return dropped() + overruns_; }

private:
	void Run() override
	{
		pollfd fds[2] = {{fd_.get(), POLLIN, 0}, {stop_fd(), POLLIN, 0}};
		std::vector<uint8_t> datagram(kLargestDatagram);
		bool usable = true;
		while (!stopping() && usable) {
			poll(fds, 2, -1);
			int error = 0;
			while (!stopping() && error == 0)
				error = Receive(datagram);
			usable = error == EAGAIN || stopping();
			if (!usable)
				Tell(NLMSG_ERROR, -error);
		}
	}

	/// @returns errno; EAGAIN = there is nothing more for now
	int Receive(std::vector<uint8_t> &datagram)
	{
		sockaddr_nl sender{};
		socklen_t length = sizeof sender;
		ssize_t size = recvfrom(fd_.get(), datagram.data(), datagram.size(), MSG_TRUNC,
					reinterpret_cast<sockaddr *>(&sender), &length);
		if (size < 0 && errno == EINTR)
			return 0;
		if (size < 0 && errno != ENOBUFS)
			return errno;
		if (size < 0 || static_cast<size_t>(size) > datagram.size()) {
			overruns_++;
			Tell(NLMSG_OVERRUN, 0);
		} else if (sender.nl_pid == 0) { // of the kernel
			PushAll(std::span(datagram).first(static_cast<size_t>(size)));
		}
		return 0;
	}

	void PushAll(std::span<const uint8_t> datagram)
	{
		while (datagram.size() >= sizeof(nlmsghdr)) {
			nlmsghdr header{};
			memcpy(&header, datagram.data(), sizeof header);
			if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size())
				return;
			Push(datagram.data(), header.nlmsg_len);
			datagram = datagram.subspan(std::min(datagram.size(), size_t{NLMSG_ALIGN(header.nlmsg_len)}));
		}
	}

	/// A message of ours: JavaScript has to be woken.
	void Tell(uint16_t type, int32_t error)
	{
		struct {
			nlmsghdr header;
			int32_t error;
		} message{{sizeof message, type, 0, 0, 0}, error};
		uint8_t bytes[sizeof message];
		memcpy(bytes, &message, sizeof message);
		Push(bytes, sizeof bytes);
	}

	void Release() noexcept override { fd_.Reset(); }

	UniqueFd fd_;
	std::atomic<uint64_t> overruns_ = 0;
};

std::vector<uint32_t> GroupsArg(Napi::Value value)
{
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
		throw ArgError("groups: expected a Uint32Array");
	Napi::Uint32Array array = value.As<Napi::Uint32Array>();
	return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<sock_filter> FilterArg(const Napi::CallbackInfo &info, size_t index)
{
	std::span<uint8_t> bytes = BytesArg(info, index, "filter");
	if (bytes.size() % sizeof(sock_filter) != 0 || bytes.size() > sizeof(sock_filter) * BPF_MAXINSNS)
		throw ArgError("filter: expected instructions of 8 bytes, at most " + std::to_string(BPF_MAXINSNS));
	std::vector<sock_filter> filter(bytes.size() / sizeof(sock_filter));
	if (!filter.empty())
		memcpy(filter.data(), bytes.data(), bytes.size());
	return filter;
}

/// (netns | undefined, protocol, groups, filter, bufferBytes, onMessages, maxQueued)
Napi::Value Open(const Napi::CallbackInfo &info)
{
	ListenSpec spec;
	spec.netns = OptionalStringArg(info, 0, "netns");
	spec.protocol = static_cast<int>(U32Arg(info, 1, "protocol") & 0xff);
	spec.groups = GroupsArg(info[2]);
	spec.filter = FilterArg(info, 3);
	spec.buffer_bytes = U32Arg(info, 4, "bufferBytes");
	if (spec.buffer_bytes > kLargestBuffer)
		throw ArgError("bufferBytes: expected at most " + std::to_string(kLargestBuffer));
	if (!info[5].IsFunction())
		throw ArgError("onMessages: expected a function");
	uint32_t limit = U32Arg(info, 6, "maxQueued");
	if (limit == 0)
		throw ArgError("maxQueued: expected 1 or more");
	auto listener = std::make_unique<NetlinkListenerHandle>(State::Of(info.Env()).registry(), std::move(spec),
								size_t{limit});
	listener->Start(info.Env(), info[5].As<Napi::Function>(), "fairlead:netlink-listener");
	return Wrap(info.Env(), std::move(listener));
}

Napi::Value Acknowledge(const Napi::CallbackInfo &info)
{
	HandleArg<NetlinkListenerHandle>(info, 0, "listener").Acknowledge();
	return info.Env().Undefined();
}

Napi::Value Lost(const Napi::CallbackInfo &info)
{
	uint64_t lost = HandleArg<NetlinkListenerHandle>(info, 0, "listener").lost();
	return Napi::Number::New(info.Env(), static_cast<double>(lost));
}

Napi::Value CloseListener(const Napi::CallbackInfo &info)
{
	HandleArg<NetlinkListenerHandle>(info, 0, "listener").Close();
	return info.Env().Undefined();
}

} // namespace

void ExportNetlinkListener(Napi::Object exports)
{
	Export<Open>(exports, "listenerOpen");
	Export<Acknowledge>(exports, "listenerAcknowledge");
	Export<Lost>(exports, "listenerLost");
	Export<CloseListener>(exports, "listenerClose");
}

} // namespace fairlead
