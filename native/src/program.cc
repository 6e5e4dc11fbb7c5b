#include "program.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "fdkind.h"

namespace fairlead
{

namespace
{

constexpr size_t kOutputRoom = 512; // what a program may add in front of a packet, with plenty to spare

Napi::Value WrapProgram(Napi::Env env, UniqueFd fd)
{
	return Wrap(env, std::make_unique<ProgramHandle>(State::Of(env).registry(), std::move(fd), ""));
}

Napi::Value OpenPinned(const Napi::CallbackInfo &info)
{
	std::string path = StringArg(info, 0, "path");
	UniqueFd fd = OwnFd(bpf_obj_get(path.c_str()), "BPF_OBJ_GET", "cannot open pinned program " + path);
	RequireFdKind(fd.get(), "bpf-prog", path);
	return WrapProgram(info.Env(), std::move(fd));
}

Napi::Value OpenById(const Napi::CallbackInfo &info)
{
	uint32_t id = U32Arg(info, 0, "id");
	return WrapProgram(info.Env(), OwnFd(bpf_prog_get_fd_by_id(id), "BPF_PROG_GET_FD_BY_ID",
					     "cannot open program " + std::to_string(id)));
}

Napi::Value Info(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	Napi::Object js = Napi::Object::New(info.Env());
	js.Set("name", program.name());
	js.Set("id", program.id());
	js.Set("type", program.type());
	js.Set("tag", program.tag());
	return js;
}

std::span<uint8_t> OptionalBytes(const Napi::CallbackInfo &info, size_t index, const char *name)
{
	if (info[index].IsUndefined())
		return {};
	return BytesArg(info, index, name);
}

/// (program, data | undefined, ctx | undefined, repeat, dataOutSize | undefined, flags)
Napi::Value TestRun(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	std::span<uint8_t> data = OptionalBytes(info, 1, "data");
	std::span<uint8_t> ctx = OptionalBytes(info, 2, "ctx");
	uint32_t repeat = U32Arg(info, 3, "repeat");
	if (repeat > INT32_MAX)
		throw ArgError("repeat: expected at most 2147483647");
	size_t room =
		info[4].IsUndefined() ? (data.empty() ? 0 : data.size() + kOutputRoom) : U32Arg(info, 4, "dataOutSize");
	Bytes data_out(room), ctx_out(ctx.size());
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	opts.data_in = data.empty() ? nullptr : data.data();
	opts.data_size_in = static_cast<uint32_t>(data.size());
	opts.data_out = room == 0 ? nullptr : data_out.data();
	opts.data_size_out = static_cast<uint32_t>(room);
	opts.ctx_in = ctx.empty() ? nullptr : ctx.data();
	opts.ctx_size_in = static_cast<uint32_t>(ctx.size());
	opts.ctx_out = ctx.empty() ? nullptr : ctx_out.data();
	opts.ctx_size_out = static_cast<uint32_t>(ctx_out.size());
	opts.repeat = static_cast<int>(repeat);
	opts.flags = static_cast<uint32_t>(FlagsArg(info, 5, "flags"));
	Check(bpf_prog_test_run_opts(program.fd(), &opts), "BPF_PROG_TEST_RUN",
	      "program " + program.name() + ": cannot run");
	Napi::Object js = Napi::Object::New(info.Env());
	js.Set("retval", static_cast<int32_t>(opts.retval));
	js.Set("data", BytesToJs(info.Env(), std::span<const uint8_t>(data_out.data(),
								      std::min<size_t>(opts.data_size_out, room))));
	js.Set("ctx",
	       BytesToJs(info.Env(), std::span<const uint8_t>(ctx_out.data(),
							      std::min<size_t>(opts.ctx_size_out, ctx_out.size()))));
	js.Set("durationNs", opts.duration);
	return js;
}

Napi::Value Pin(const Napi::CallbackInfo &info)
{
	ProgramHandle &program = HandleArg<ProgramHandle>(info, 0, "program");
	std::string path = StringArg(info, 1, "path");
	Check(bpf_obj_pin(program.fd(), path.c_str()), "BPF_OBJ_PIN",
	      "program " + program.name() + ": cannot pin at " + path);
	return info.Env().Undefined();
}

Napi::Value CloseProgram(const Napi::CallbackInfo &info)
{
	HandleArg<ProgramHandle>(info, 0, "program").Close();
	return info.Env().Undefined();
}

} // namespace

ProgramHandle::ProgramHandle(std::shared_ptr<Registry> registry, UniqueFd fd, const std::string &name)
	: Handle(std::move(registry)), fd_(std::move(fd)), name_(name)
{
	bpf_prog_info raw{};
	uint32_t size = sizeof raw;
	Check(bpf_obj_get_info_by_fd(fd_.get(), &raw, &size), "BPF_OBJ_GET_INFO_BY_FD",
	      "cannot read what a program is");
	id_ = raw.id;
	type_ = raw.type;
	if (name_.empty())
		name_ = raw.name;
	for (uint8_t byte : raw.tag) {
		constexpr char kHex[] = "0123456789abcdef";
		tag_ += kHex[byte >> 4];
		tag_ += kHex[byte & 15];
	}
}

int ProgramHandle::fd() const
{
	if (!fd_)
		throw SysError(EBADF, "close", "program " + name_ + ": is closed");
	return fd_.get();
}

void ExportProgram(Napi::Object exports)
{
	Export<OpenPinned>(exports, "programOpenPinned");
	Export<OpenById>(exports, "programOpenById");
	Export<Info>(exports, "programInfo");
	Export<TestRun>(exports, "programTestRun");
	Export<Pin>(exports, "programPin");
	Export<CloseProgram>(exports, "programClose");
}

} // namespace fairlead
