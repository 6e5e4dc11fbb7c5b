// Sockets and netlink in other network namespaces. setns(2) changes only the calling thread. A worker thread of libuv goes
// there and back within one call; JavaScript's thread never leaves, a thread made for one visit goes for it.
#include "netns.h"

#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>

#include "args.h"
#include "async.h"

namespace fairlead
{

namespace
{

constexpr int kReceiveBuffer = 4 << 20;
/// SO_NETNS_COOKIE of <asm/socket.h>, which the libc headers of older distributions lack.
constexpr int kSoNetnsCookie = 71;

UniqueFd OpenSocket(int domain, int type, int protocol)
{
	return OwnFd(socket(domain, type | SOCK_CLOEXEC, protocol), "socket", "cannot open a socket");
}

UniqueFd OpenNetns(const std::string &path)
{
	return OwnFd(open(path.c_str(), O_RDONLY | O_CLOEXEC), "open", "cannot open network namespace " + path);
}

/// Puts the calling thread into a network namespace until it goes out of scope. Not for JavaScript's thread: /proc/PID/ns/net
/// is that thread's, and others look there.
class Visit
{
public:
	explicit Visit(const std::string &netns) : home_(OpenNetns("/proc/thread-self/ns/net"))
	{
		if (setns(OpenNetns(netns).get(), CLONE_NEWNET) < 0)
			throw SysError(errno, "setns", "cannot enter network namespace " + netns);
	}
	/// The thread has to be at home for whatever it does next. Who was let out is let in, with the same capabilities.
	~Visit()
	{
		if (setns(home_.get(), CLONE_NEWNET) < 0) {
			perror("fairlead: cannot return to the own network namespace");
			std::abort();
		}
	}
	Visit(const Visit &) = delete;
	Visit &operator=(const Visit &) = delete;

private:
	UniqueFd home_;
};

/// As OpenSocketIn(), on a worker thread: without the thread that a visit from JavaScript's thread takes.
UniqueFd OpenSocketFromWorker(const std::string &netns, int domain, int type, int protocol)
{
	if (netns.empty())
		return OpenSocket(domain, type, protocol);
	Visit visit(netns);
	return OpenSocket(domain, type, protocol);
}

} // namespace

UniqueFd OpenSocketIn(const std::string &netns, int domain, int type, int protocol)
{
	if (netns.empty())
		return OpenSocket(domain, type, protocol);
	UniqueFd result;
	std::exception_ptr failure;
	std::thread visitor([&] {
		try {
			result = OpenSocketFromWorker(netns, domain, type, protocol);
		} catch (...) {
			failure = std::current_exception();
		}
	});
	visitor.join();
	if (failure)
		std::rethrow_exception(failure);
	return result;
}

namespace
{

/// Number of a network namespace that BPF programs see; 0 before kernel 5.14.
uint64_t CookieOf(const UniqueFd &socket)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof cookie;
	if (getsockopt(socket.get(), SOL_SOCKET, kSoNetnsCookie, &cookie, &size) == 0)
		return cookie;
	if (errno != ENOPROTOOPT)
		throw SysError(errno, "getsockopt", "cannot read the cookie of the network namespace");
	return 0;
}

/// () of the calling thread's
Napi::Value NetnsCookie(const Napi::CallbackInfo &info)
{
	return Napi::BigInt::New(info.Env(), CookieOf(OpenSocket(AF_UNIX, SOCK_DGRAM, 0)));
}

/// (netns)
Napi::Value NetnsCookieAsync(const Napi::CallbackInfo &info)
{
	std::string netns = StringArg(info, 0, "netns");
	return RunAsync<uint64_t>(
		info.Env(), "fairlead:netnsCookie",
		[netns] { return CookieOf(OpenSocketFromWorker(netns, AF_UNIX, SOCK_DGRAM, 0)); },
		[](Napi::Env env, uint64_t &&cookie) -> Napi::Value { return Napi::BigInt::New(env, cookie); });
}

/// A new namespace with nothing in it but a loopback device that is down. It lives as long as something refers to it.
UniqueFd CreateNetns()
{
	UniqueFd result;
	std::exception_ptr failure;
	std::thread founder([&] {
		try {
			if (unshare(CLONE_NEWNET) < 0)
				throw SysError(errno, "unshare", "cannot make a network namespace");
			result = OwnFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open",
				       "cannot open the new network namespace");
		} catch (...) {
			failure = std::current_exception();
		}
	});
	founder.join();
	if (failure)
		std::rethrow_exception(failure);
	return result;
}

/// What goes over one socket.
struct NetlinkTurn {
	std::string netns;
	std::vector<Bytes> requests;
};
struct NetlinkJob {
	int protocol = 0;
	uint32_t timeout_ms = 0;
	std::vector<NetlinkTurn> turns;
};
using Replies = std::vector<std::vector<Bytes>>;

/// One netlink socket: requests go out one by one, each answered completely before the next.
class NetlinkSocket
{
public:
	NetlinkSocket(const NetlinkJob &job, const std::string &netns)
		: fd_(OpenSocketFromWorker(netns, AF_NETLINK, SOCK_RAW, job.protocol))
	{
		int on = 1;
		timeval limit{static_cast<time_t>(job.timeout_ms / 1000),
			      static_cast<suseconds_t>(job.timeout_ms % 1000) * 1000};
		setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
		setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
		setsockopt(fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
		setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
		if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
			throw SysError(errno, "setsockopt", "cannot set the netlink timeout");
		}
	}

	std::vector<Bytes> Ask(const Bytes &request)
	{
		sockaddr_nl kernel{};
		kernel.nl_family = AF_NETLINK;
		if (sendto(fd_.get(), request.data(), request.size(), 0, reinterpret_cast<sockaddr *>(&kernel),
			   sizeof kernel) < 0) {
			throw SysError(errno, "sendto", "cannot send a netlink request");
		}
		nlmsghdr header{};
		memcpy(&header, request.data(), sizeof header);
		std::vector<Bytes> replies;
		while (!Receive(header, replies)) {}
		return replies;
	}

private:
	/// Reads one datagram. @returns whether the answer to `request` is complete.
	bool Receive(const nlmsghdr &request, std::vector<Bytes> &replies)
	{
		ssize_t size = recv(fd_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
		if (size > 0) {
			datagram_.resize(static_cast<size_t>(size));
			size = recv(fd_.get(), datagram_.data(), datagram_.size(), 0);
		}
		if (size < 0 && errno == EINTR)
			return false;
		if (size < 0)
			throw SysError(errno == EAGAIN ? ETIMEDOUT : errno, "recv",
				       "no complete answer to netlink request type " +
					       std::to_string(request.nlmsg_type));
		bool complete = false;
		for (size_t at = 0; at + sizeof(nlmsghdr) <= static_cast<size_t>(size);) {
			nlmsghdr header{};
			memcpy(&header, &datagram_[at], sizeof header);
			if (header.nlmsg_len < sizeof header || at + header.nlmsg_len > static_cast<size_t>(size))
				break;
			if (header.nlmsg_seq == request.nlmsg_seq) {
				replies.emplace_back(datagram_.begin() + static_cast<ptrdiff_t>(at),
						     datagram_.begin() + static_cast<ptrdiff_t>(at + header.nlmsg_len));
				complete = complete || EndsAnswer(request, header);
			}
			at += NLMSG_ALIGN(header.nlmsg_len);
		}
		return complete;
	}

	static bool EndsAnswer(const nlmsghdr &request, const nlmsghdr &reply)
	{
		if (reply.nlmsg_type == NLMSG_ERROR || reply.nlmsg_type == NLMSG_DONE)
			return true;
		bool multipart = (reply.nlmsg_flags & NLM_F_MULTI) != 0;
		return !multipart && (request.nlmsg_flags & NLM_F_ACK) == 0;
	}

	UniqueFd fd_;
	Bytes datagram_;
};

/// All sockets are open before anything is asked.
Replies RunNetlink(const NetlinkJob &job)
{
	std::vector<NetlinkSocket> sockets;
	sockets.reserve(job.turns.size());
	for (const NetlinkTurn &turn : job.turns)
		sockets.emplace_back(job, turn.netns);
	Replies all;
	for (size_t i = 0; i < sockets.size(); i++) {
		for (const Bytes &request : job.turns[i].requests)
			all.push_back(sockets[i].Ask(request));
	}
	return all;
}

Napi::Value RepliesToJs(Napi::Env env, Replies &&all)
{
	Napi::Array js = Napi::Array::New(env, all.size());
	for (uint32_t i = 0; i < all.size(); i++) {
		Napi::Array replies = Napi::Array::New(env, all[i].size());
		for (uint32_t k = 0; k < all[i].size(); k++)
			replies.Set(k, BytesToJs(env, std::span<const uint8_t>(all[i][k])));
		js.Set(i, replies);
	}
	return js;
}

Bytes RequestArg(Napi::Value value, uint32_t index)
{
	std::string name = "messages[" + std::to_string(index) + "]";
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
		throw ArgError(name + ": expected a Uint8Array");
	}
	Napi::Uint8Array array = value.As<Napi::Uint8Array>();
	Bytes request(array.Data(), array.Data() + array.ByteLength());
	nlmsghdr header{};
	if (request.size() >= sizeof header)
		memcpy(&header, request.data(), sizeof header);
	if (request.size() < sizeof header || header.nlmsg_len != request.size()) {
		throw ArgError(name + ": its header says " + std::to_string(header.nlmsg_len) + " bytes, it has " +
			       std::to_string(request.size()));
	}
	if ((header.nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP)) == 0 && (header.nlmsg_flags & NLM_F_REQUEST) == 0) {
		throw ArgError(name + ": expected flag NLM_F_REQUEST");
	}
	return request;
}

/// (netns | undefined, messages) from `first` on
NetlinkTurn TurnArg(const Napi::CallbackInfo &info, size_t first)
{
	NetlinkTurn turn;
	turn.netns = OptionalStringArg(info, first, "netns");
	if (!info[first + 1].IsArray())
		throw ArgError("messages: expected an array");
	Napi::Array messages = info[first + 1].As<Napi::Array>();
	for (uint32_t i = 0; i < messages.Length(); i++)
		turn.requests.push_back(RequestArg(messages.Get(i), i));
	return turn;
}

/// (protocol, timeoutMs, netns | undefined, messages [, netns | undefined, messages]…)
Napi::Value NetlinkRequest(const Napi::CallbackInfo &info)
{
	NetlinkJob job;
	job.protocol = static_cast<int>(U32Arg(info, 0, "protocol") & 0xff);
	job.timeout_ms = U32Arg(info, 1, "timeoutMs");
	if (job.timeout_ms == 0)
		throw ArgError("timeoutMs: expected 1 or more");
	for (size_t first = 2; first < info.Length(); first += 2)
		job.turns.push_back(TurnArg(info, first));
	return RunAsync<Replies>(
		info.Env(), "fairlead:netlink", [job = std::move(job)] { return RunNetlink(job); }, RepliesToJs);
}

/// (netns, domain, type, protocol)
Napi::Value SocketInNetns(const Napi::CallbackInfo &info)
{
	std::string netns = StringArg(info, 0, "netns");
	int domain = static_cast<int>(U32Arg(info, 1, "domain") & INT32_MAX);
	int type = static_cast<int>(U32Arg(info, 2, "type") & INT32_MAX);
	int protocol = static_cast<int>(U32Arg(info, 3, "protocol") & INT32_MAX);
	return RunAsync<UniqueFd>(
		info.Env(), "fairlead:socket", [=] { return OpenSocketFromWorker(netns, domain, type, protocol); },
		[](Napi::Env env, UniqueFd &&fd) -> Napi::Value { return Napi::Number::New(env, fd.Release()); });
}

Napi::Value NetnsCreate(const Napi::CallbackInfo &info)
{
	return RunAsync<UniqueFd>(
		info.Env(), "fairlead:netns", [] { return CreateNetns(); },
		[](Napi::Env env, UniqueFd &&fd) -> Napi::Value { return Napi::Number::New(env, fd.Release()); });
}

} // namespace

void ExportNetns(Napi::Object exports)
{
	Export<NetnsCookie>(exports, "netnsCookie");
	Export<NetnsCookieAsync>(exports, "netnsCookieAsync");
	Export<NetlinkRequest>(exports, "netlinkRequest");
	Export<NetnsCreate>(exports, "netnsCreate");
	Export<SocketInNetns>(exports, "socketInNetns");
}

} // namespace fairlead
