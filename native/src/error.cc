#include "error.h"

#include <cerrno>
#include <cstring>

#include "state.h"

namespace fairlead
{

namespace
{

constexpr int kKernelNotSupported = 524; // ENOTSUPP of include/linux/errno.h: not in libc's table

std::string ErrnoText(int err)
{
	if (err == kKernelNotSupported)
		return "operation is not supported by the kernel";
	char buffer[128];
	return strerror_r(err, buffer, sizeof buffer);
}

std::string LastLines(const std::string &log, size_t lines)
{
	size_t end = log.find_last_not_of(" \n");
	if (end == std::string::npos)
		return "";
	size_t begin = end;
	while (begin > 0 && lines > 0) {
		begin = log.rfind('\n', begin - 1);
		if (begin == std::string::npos)
			begin = 0;
		lines--;
	}
	if (log[begin] == '\n')
		begin++;
	return log.substr(begin, end + 1 - begin);
}

Napi::Value ToJs(Napi::Env env, const SysError &error)
{
	const Napi::FunctionReference &cls = State::Of(env).error_class();
	Napi::Object js = cls.New({Napi::String::New(env, error.message()), Napi::String::New(env, error.code()),
				   Napi::Number::New(env, error.err()), Napi::String::New(env, error.syscall())});
	if (!error.log().empty())
		js.Set("log", Napi::String::New(env, error.log()));
	if (error.done() >= 0)
		js.Set("done", Napi::Number::New(env, error.done()));
	return js;
}

} // namespace

std::string ErrnoName(int err)
{
	if (err == kKernelNotSupported)
		return "ENOTSUPP";
	const char *name = strerrorname_np(err);
	return name != nullptr ? name : "E" + std::to_string(err);
}

SysError::SysError(int err, std::string syscall, const std::string &what)
	: std::runtime_error(what + ": " + ErrnoText(err) + " (" + ErrnoName(err) + ")"), err_(err),
	  code_(ErrnoName(err)), syscall_(std::move(syscall))
{
}

SysError::SysError(std::string code, std::string syscall, const std::string &message)
	: std::runtime_error(message), err_(0), code_(std::move(code)), syscall_(std::move(syscall))
{
}

SysError SysError::WithLog(std::string log, size_t tail_lines) &&
{
	std::string tail = LastLines(log, tail_lines);
	if (!tail.empty())
		tail_ = "\n" + tail;
	log_ = std::move(log);
	return std::move(*this);
}

UniqueFd OwnFd(int fd, const char *syscall, const std::string &what)
{
	if (fd < 0)
		throw SysError(fd == -1 ? errno : -fd, syscall, what);
	return UniqueFd(fd);
}

void Check(int rc, const char *syscall, const std::string &what)
{
	if (rc < 0)
		throw SysError(rc == -1 ? errno : -rc, syscall, what);
}

UniqueFd Duplicate(int fd)
{
	return OwnFd(fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl", "cannot duplicate file descriptor " + std::to_string(fd));
}

Napi::Value CurrentExceptionToJs(Napi::Env env)
{
	try {
		throw;
	} catch (const Napi::Error &error) {
		return error.Value();
	} catch (const SysError &error) {
		return ToJs(env, error);
	} catch (const ArgError &error) {
		Napi::Error js = Napi::TypeError::New(env, error.what());
		js.Set("code", Napi::String::New(env, "ERR_INVALID_ARG_VALUE"));
		return js.Value();
	} catch (const std::exception &error) {
		return Napi::Error::New(env, error.what()).Value();
	}
}

} // namespace fairlead
