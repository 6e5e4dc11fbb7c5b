// libbpf reports why something failed as text on a global printer. We never print: the text of the calling thread is
// collected while a LibbpfLog lives and goes into the error.
#pragma once

#include <string>

namespace fairlead
{

void AppendToLog(const char *text, size_t size);

class LibbpfLog
{
public:
	LibbpfLog();
	~LibbpfLog();
	LibbpfLog(const LibbpfLog &) = delete;
	LibbpfLog &operator=(const LibbpfLog &) = delete;
	std::string Take() { return std::move(text_); }

	/// Once per process, before the first libbpf call.
	static void Install();

private:
	friend void AppendToLog(const char *, size_t);
	std::string text_;
};

} // namespace fairlead
