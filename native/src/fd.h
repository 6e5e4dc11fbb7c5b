// One owner per file descriptor. Everything in the addon that opens an fd puts it into a UniqueFd in the same
// statement.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace fairlead
{

class UniqueFd
{
public:
	UniqueFd() = default;
	explicit UniqueFd(int fd) : fd_(fd) {}
	~UniqueFd() { Reset(); }

	UniqueFd(const UniqueFd &) = delete;
	UniqueFd &operator=(const UniqueFd &) = delete;
	UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	UniqueFd &operator=(UniqueFd &&other) noexcept
	{
		if (this != &other) {
			Reset();
			fd_ = std::exchange(other.fd_, -1);
		}
		return *this;
	}

	explicit operator bool() const { return fd_ >= 0; }
	int get() const { return fd_; }
	/// Gives up ownership; the caller closes.
	int Release() { return std::exchange(fd_, -1); }
	void Reset()
	{
		if (fd_ >= 0)
			::close(std::exchange(fd_, -1));
	}

private:
	int fd_ = -1;
};

} // namespace fairlead
