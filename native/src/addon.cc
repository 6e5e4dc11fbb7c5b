// The addon's entry: everything here is private to native/index.ts, which is the typed door.
#include <napi.h>

#include <memory>

#include "args.h"
#include "clsact.h"
#include "ct_gc.h"
#include "hooks.h"
#include "libbpf_log.h"
#include "link.h"
#include "map.h"
#include "netlink_listener.h"
#include "netns.h"
#include "object.h"
#include "packet_socket.h"
#include "probe.h"
#include "program.h"
#include "ringbuf.h"
#include "state.h"
#include "system.h"

namespace fairlead
{

namespace
{

/// The class whose constructor takes (message, code, errno, syscall); index.ts sets it before any other call.
Napi::Value SetErrorClass(const Napi::CallbackInfo &info)
{
	if (!info[0].IsFunction())
		throw ArgError("errorClass: expected a class");
	State::Of(info.Env()).error_class() = Napi::Persistent(info[0].As<Napi::Function>());
	return info.Env().Undefined();
}

/// How many native handles exist in this environment, open or closed: what the leak tests watch.
Napi::Value HandleCount(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), static_cast<double>(State::Of(info.Env()).registry()->size()));
}

Napi::Object Init(Napi::Env env, Napi::Object exports)
{
	LibbpfLog::Install();
	auto state = std::make_unique<State>();
	env.AddCleanupHook([registry = state->registry()] { registry->CloseAll(); });
	env.SetInstanceData<State>(state.release());
	Export<SetErrorClass>(exports, "setErrorClass");
	Export<HandleCount>(exports, "handleCount");
	ExportMap(exports);
	ExportCtGc(exports);
	ExportObject(exports);
	ExportProgram(exports);
	ExportLink(exports);
	ExportClsact(exports);
	ExportHooks(exports);
	ExportRingBuffer(exports);
	ExportPacketSocket(exports);
	ExportNetlinkListener(exports);
	ExportNetns(exports);
	ExportSystem(exports);
	ExportProbe(exports);
	return exports;
}

} // namespace

NODE_API_MODULE(fairlead, Init)

} // namespace fairlead
