// Whole frames of one interface, in and out: a thread of its own reads, JavaScript gets batches and sends synchronously. Each frame
// begins with the kernel's struct virtio_net_hdr, which says what is left to do about checksum and segmentation; a frame that is sent
// on with the header it came with is the packet it was.
#include "packet_socket.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include <cerrno>
#include <memory>
#include <string>

#include "args.h"
#include "batch_reader.h"

namespace fairlead
{

namespace
{

constexpr int kReceiveBuffer = 4 << 20;
/// sizeof(struct virtio_net_hdr): <linux/virtio_net.h> uses a C++ keyword as a name.
constexpr size_t kVirtioHeader = 10;
constexpr size_t kLargestFrame = kVirtioHeader + ETH_HLEN + 8 + (1 << 16);

sockaddr_ll AddressOf(int ifindex)
{
	sockaddr_ll address{};
	address.sll_family = AF_PACKET;
	address.sll_protocol = htons(ETH_P_ALL);
	address.sll_ifindex = ifindex;
	return address;
}

void SetOption(const UniqueFd &fd, int level, int name, int value, const char *what)
{
	if (setsockopt(fd.get(), level, name, &value, sizeof value) < 0)
		throw SysError(errno, "setsockopt", std::string("packet socket: cannot set ") + what);
}

UniqueFd OpenPacketSocket(int ifindex, uint32_t mark)
{
	// Without a protocol nothing is received before it is bound.
	UniqueFd fd = OwnFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket",
			    "packet socket: cannot open");
	SetOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
	SetOption(fd, SOL_SOCKET, SO_MARK, static_cast<int>(mark), "SO_MARK");
	int buffer = kReceiveBuffer;
	setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	sockaddr_ll address = AddressOf(ifindex);
	if (bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0)
		throw SysError(errno, "bind", "packet socket: cannot bind to interface " + std::to_string(ifindex));
	return fd;
}

class PacketSocketHandle final : public BatchReader
{
public:
	PacketSocketHandle(std::shared_ptr<Registry> registry, int ifindex, uint32_t mark, size_t limit)
		: BatchReader(std::move(registry), limit, "packet socket"), fd_(OpenPacketSocket(ifindex, mark))
	{
	}
	~PacketSocketHandle() override { Close(); }

	void Send(int ifindex, std::span<const uint8_t> frame)
	{
		sockaddr_ll address = AddressOf(ifindex);
		if (!fd_)
			throw SysError(EBADF, "sendto", "packet socket: is closed");
		if (sendto(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr *>(&address),
			   sizeof address) < 0)
			throw SysError(errno, "sendto",
				       "packet socket: cannot send by interface " + std::to_string(ifindex));
	}

	/// Frames that found the kernel's buffer or our queue full.
	uint64_t lost()
	{
		tpacket_stats stats{};
		socklen_t size = sizeof stats;
		if (fd_ && getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
			lost_in_kernel_ += stats.tp_drops; // reading sets the kernel's counter to zero
		return dropped() + lost_in_kernel_;
	}

private:
	void Run() override
	{
		pollfd fds[2] = {{fd_.get(), POLLIN, 0}, {stop_fd(), POLLIN, 0}};
		std::vector<uint8_t> frame(kLargestFrame);
		while (!stopping()) {
			poll(fds, 2, -1);
			while (!stopping() && Receive(frame)) {}
		}
	}

	/// @returns whether there may be more. An error of the device (it went down) is told once and is no reason to stop.
	bool Receive(std::vector<uint8_t> &frame)
	{
		ssize_t size = recv(fd_.get(), frame.data(), frame.size(), 0);
		if (size < 0)
			return errno != EAGAIN;
		Push(frame.data(), static_cast<size_t>(size));
		return true;
	}

	void Release() noexcept override { fd_.Reset(); }

	UniqueFd fd_;
	uint64_t lost_in_kernel_ = 0;
};

/// (ifindex, mark, onFrames, maxQueued)
Napi::Value Open(const Napi::CallbackInfo &info)
{
	int ifindex = IfindexArg(info, 0);
	uint32_t mark = U32Arg(info, 1, "mark");
	if (!info[2].IsFunction())
		throw ArgError("onFrames: expected a function");
	uint32_t limit = U32Arg(info, 3, "maxQueued");
	if (limit == 0)
		throw ArgError("maxQueued: expected 1 or more");
	auto socket =
		std::make_unique<PacketSocketHandle>(State::Of(info.Env()).registry(), ifindex, mark, size_t{limit});
	socket->Start(info.Env(), info[2].As<Napi::Function>(), "fairlead:packets");
	return Wrap(info.Env(), std::move(socket));
}

/// (socket, ifindex, frame)
Napi::Value Send(const Napi::CallbackInfo &info)
{
	PacketSocketHandle &socket = HandleArg<PacketSocketHandle>(info, 0, "socket");
	int ifindex = IfindexArg(info, 1);
	std::span<uint8_t> frame = BytesArg(info, 2, "frame");
	if (frame.size() < kVirtioHeader + ETH_HLEN)
		throw ArgError("frame: expected at least " + std::to_string(kVirtioHeader + ETH_HLEN) + " bytes, got " +
			       std::to_string(frame.size()));
	socket.Send(ifindex, frame);
	return info.Env().Undefined();
}

Napi::Value Acknowledge(const Napi::CallbackInfo &info)
{
	HandleArg<PacketSocketHandle>(info, 0, "socket").Acknowledge();
	return info.Env().Undefined();
}

Napi::Value Lost(const Napi::CallbackInfo &info)
{
	uint64_t lost = HandleArg<PacketSocketHandle>(info, 0, "socket").lost();
	return Napi::Number::New(info.Env(), static_cast<double>(lost));
}

Napi::Value CloseSocket(const Napi::CallbackInfo &info)
{
	HandleArg<PacketSocketHandle>(info, 0, "socket").Close();
	return info.Env().Undefined();
}

} // namespace

void ExportPacketSocket(Napi::Object exports)
{
	Export<Open>(exports, "packetOpen");
	Export<Send>(exports, "packetSend");
	Export<Acknowledge>(exports, "packetAcknowledge");
	Export<Lost>(exports, "packetLost");
	Export<CloseSocket>(exports, "packetClose");
}

} // namespace fairlead
