// The addon's two errors. The layers below the JavaScript bindings throw these (they are valid on any thread);
// Guard() and RunAsync() turn them into JavaScript errors in one place.
#pragma once

#include <napi.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "fd.h"

namespace fairlead
{

/// A failed system call. `what()` is "<what could not be done, to which object>: <why> (<errno name>)".
class SysError : public std::runtime_error
{
public:
	/// @param err positive errno
	SysError(int err, std::string syscall, const std::string &what);
	/// For refusals of our own that have no errno: `code` is what JavaScript sees.
	SysError(std::string code, std::string syscall, const std::string &message);

	SysError WithLog(std::string log, size_t tail_lines) &&;
	SysError WithDone(size_t done) &&
	{
		done_ = static_cast<double>(done);
		return std::move(*this);
	}

	int err() const { return err_; }
	const std::string &code() const { return code_; }
	const std::string &syscall() const { return syscall_; }
	const std::string &log() const { return log_; }
	double done() const { return done_; }
	std::string message() const { return what() + tail_; }

private:
	int err_;
	std::string code_;
	std::string syscall_;
	std::string log_;
	std::string tail_;
	double done_ = -1;
};

/// A wrong argument: becomes a TypeError with code ERR_INVALID_ARG_VALUE.
class ArgError : public std::invalid_argument
{
public:
	using std::invalid_argument::invalid_argument;
};

/// "ENOENT" for 2; knows the kernel-internal 524 that BPF lets escape.
std::string ErrnoName(int err);

/// @returns an owner, or throws SysError with the errno of `fd`, which is negative on failure (as libbpf 1.x returns
/// it).
UniqueFd OwnFd(int fd, const char *syscall, const std::string &what);

/// Throws SysError when rc < 0 (rc is -errno).
void Check(int rc, const char *syscall, const std::string &what);

/// Copies an fd, so that a worker thread or another owner does not depend on the life of this one.
UniqueFd Duplicate(int fd);

/// The JavaScript value for the exception that is being handled; call inside a catch block.
Napi::Value CurrentExceptionToJs(Napi::Env env);

} // namespace fairlead
