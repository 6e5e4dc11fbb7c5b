#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdio>
#include <mutex>

extern "C" {
// libbpf.a's `stderr`, renamed by CMakeLists.txt. Used only by libbpf's default printer, which Install() replaces.
__attribute__((visibility("hidden"))) FILE *fairlead_stderr = stderr;
}

namespace fairlead
{

namespace
{

thread_local LibbpfLog *current = nullptr;

int Print(enum libbpf_print_level level, const char *format, va_list args)
{
	if (current == nullptr || level == LIBBPF_DEBUG)
		return 0;
	va_list again;
	va_copy(again, args);
	int size = vsnprintf(nullptr, 0, format, again);
	va_end(again);
	if (size <= 0)
		return 0;
	std::string text(static_cast<size_t>(size) + 1, '\0');
	vsnprintf(text.data(), text.size(), format, args);
	AppendToLog(text.data(), static_cast<size_t>(size));
	return 0;
}

} // namespace

void AppendToLog(const char *text, size_t size)
{
	current->text_.append(text, size);
}

LibbpfLog::LibbpfLog()
{
	current = this;
}
LibbpfLog::~LibbpfLog()
{
	current = nullptr;
}

void LibbpfLog::Install()
{
	static std::once_flag once;
	std::call_once(once, [] { libbpf_set_print(Print); });
}

} // namespace fairlead
