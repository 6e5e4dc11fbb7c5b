#include "ct_gc.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "async.h"
#include "fields.h"
#include "flow_table.h"
#include "map.h"

namespace fairlead
{

namespace
{

constexpr uint32_t kAnyProto = 256;

/// Entries of a protocol whose flags under the mask have this value.
struct Pattern {
	uint32_t proto;
	uint32_t mask;
	uint32_t value;

	bool Matches(uint32_t entry_proto, uint32_t flags) const
	{
		return (proto == kAnyProto || proto == entry_proto) && (flags & mask) == value;
	}
};

struct IdleRule {
	Pattern pattern;
	int32_t limit;
};

int32_t LimitOf(uint32_t jiffies)
{
	return static_cast<int32_t>(std::min<uint32_t>(jiffies, INT32_MAX));
}

/// Jiffies since then; an entry touched after `now` was read counts as just now.
int32_t Idle(uint32_t now, uint32_t then)
{
	return std::max(0, static_cast<int32_t>(now - then));
}

/// What is judged: the flags of an entry and its age, or those of two entries of one flow.
struct FlowState {
	uint32_t flags;
	int32_t idle;
};

/// Flows that leave with an address of this machine: the entry for their replies has that as initiator, and the real one in its value.
struct MasqueradeRule {
	uint32_t masqueraded, reply; // flags: of both entries, and of the one for replies
	uint32_t client;             // offset of the initiator's address; its port is `own_port`
	std::vector<Address> own;    // what the address of this machine can be
	int32_t grace;               // jiffies after which an entry for replies without the other one goes
	Bytes echo_protos;           // whose two ports are one identifier

	bool IsEcho(uint8_t proto) const
	{
		return std::find(echo_protos.begin(), echo_protos.end(), proto) != echo_protos.end();
	}
	bool IsReply(uint32_t flags) const { return (flags & masqueraded) != 0 && (flags & reply) != 0; }
};

/// A translated flow has two entries, each of which sees one direction. From one follows the key of the other.
struct PairRule {
	FlowTable table;
	uint32_t flags;       // offset
	uint32_t paired;      // flags of which such an entry has one
	uint32_t hi;          // flag: the initiator is the second end of the key
	uint32_t other_sense; // flag under which `own_port` means something else
	uint32_t address, port, own_port;
	std::optional<MasqueradeRule> masquerade;

	static std::optional<MasqueradeRule> ReadMasquerade(const Fields &pairs, const FlowTable &table)
	{
		if (!pairs.Has("masquerade"))
			return std::nullopt;
		Fields fields(pairs.Get("masquerade"), pairs.Title("masquerade"));
		MasqueradeRule rule{fields.U32("masqueraded"),
				    fields.U32("reply"),
				    fields.Offset("client", table.address_size(), table.shape().value_bytes),
				    {},
				    LimitOf(fields.U32("grace")),
				    fields.Raw("echoProtos", 1)};
		Bytes own = fields.Raw("own", kAddress);
		for (size_t at = 0; at < own.size(); at += kAddress) {
			Address address;
			memcpy(address.data(), &own[at], kAddress);
			if (table.Owns(address))
				rule.own.push_back(address);
		}
		return rule;
	}

	static std::optional<PairRule> Read(const Fields &fields, uint32_t flags)
	{
		if (!fields.Has("pairs"))
			return std::nullopt;
		Fields pairs(fields.Get("pairs"), fields.Title("pairs"));
		FlowTable table(pairs);
		size_t size = table.shape().value_bytes;
		uint32_t address = pairs.Offset("address", table.address_size(), size);
		std::optional<MasqueradeRule> masquerade = ReadMasquerade(pairs, table);
		return PairRule{std::move(table),
				flags,
				pairs.U32("paired"),
				pairs.U32("initiatorIsHi"),
				pairs.U32("otherSense"),
				address,
				pairs.Offset("port", sizeof(uint16_t), size),
				pairs.Offset("ownPort", sizeof(uint16_t), size),
				std::move(masquerade)};
	}

	End Initiator(const uint8_t *key, uint32_t entry_flags) const
	{
		return (entry_flags & hi) != 0 ? table.Hi(key) : table.Lo(key);
	}
	End Responder(const uint8_t *key, uint32_t entry_flags) const
	{
		return (entry_flags & hi) != 0 ? table.Lo(key) : table.Hi(key);
	}

	std::optional<FlowEntry> Partner(const uint8_t *key, const uint8_t *value, uint32_t entry_flags) const
	{
		if (masquerade && (entry_flags & masquerade->masqueraded) != 0)
			return Masqueraded(*masquerade, key, value, entry_flags);
		if ((entry_flags & paired) == 0)
			return std::nullopt;
		End initiator = Initiator(key, entry_flags);
		auto own = Load<uint16_t>(value + own_port);
		if (own != 0 && (entry_flags & other_sense) == 0)
			initiator.port = own;
		End other{table.Widen(value + address), Load<uint16_t>(value + port)};
		std::optional<FlowEntry> found = table.Find(initiator, other, table.Proto(key));
		// The initiator's port may be that of a later flow by now, which has another responder.
		if (found && ((entry_flags | FlagsOf(*found)) & other_sense) == 0 &&
		    !LeadsTo(*found, Responder(key, entry_flags)))
			return std::nullopt;
		return found;
	}

private:
	/// A port may have been taken over by another flow, and its initiator may have another responder by now, maybe with the same port: each of
	/// the two entries must name what the other one's key has.
	std::optional<FlowEntry> Masqueraded(const MasqueradeRule &rule, const uint8_t *key, const uint8_t *value,
					     uint32_t entry_flags) const
	{
		const End self = Initiator(key, entry_flags);
		const auto own = Load<uint16_t>(value + own_port);
		const bool echo = rule.IsEcho(table.Proto(key)); // both ports are the identifier
		End responder = Responder(key, entry_flags);
		End other{table.Widen(value + address), Load<uint16_t>(value + port)};
		if (rule.IsReply(entry_flags)) {
			End client{table.Widen(value + rule.client), own};
			std::optional<FlowEntry> found = table.Find(client, other, table.Proto(key));
			if (echo)
				responder.port = own;
			bool is_ours = found && !rule.IsReply(FlagsOf(*found)) &&
				       Load<uint16_t>(&found->value[own_port]) == self.port &&
				       LeadsTo(*found, responder);
			return is_ours ? found : std::nullopt;
		}
		if (echo)
			other.port = own;
		for (const Address &address_here : rule.own) {
			std::optional<FlowEntry> found = table.Find(End{address_here, own}, other, table.Proto(key));
			if (found && rule.IsReply(FlagsOf(*found)) &&
			    Load<uint16_t>(&found->value[own_port]) == self.port &&
			    table.Widen(&found->value[rule.client]) == self.address && LeadsTo(*found, responder))
				return found;
		}
		return std::nullopt;
	}

	bool LeadsTo(const FlowEntry &entry, const End &end) const
	{
		return table.Widen(&entry.value[address]) == end.address &&
		       Load<uint16_t>(&entry.value[port]) == end.port;
	}

	uint32_t FlagsOf(const FlowEntry &entry) const { return Load<uint16_t>(&entry.value[flags]); }
};

/// What flows count for the numbers they bear, of which each has two.
struct TallyRule {
	uint32_t numbers, packets, bytes; // offsets of pairs of u16, u32 and u64
	uint32_t first_only, second_only; // flags of entries of which only one direction counts

	static std::optional<TallyRule> Read(const Fields &fields, size_t value_bytes)
	{
		if (!fields.Has("tally"))
			return std::nullopt;
		Fields tally(fields.Get("tally"), fields.Title("tally"));
		return TallyRule{tally.Offset("numbers", 2 * sizeof(uint16_t), value_bytes),
				 tally.Offset("packets", 2 * sizeof(uint32_t), value_bytes),
				 tally.Offset("bytes", 2 * sizeof(uint64_t), value_bytes), tally.U32("firstOnly"),
				 tally.U32("secondOnly")};
	}
};

struct Tally {
	uint64_t flows = 0, packets = 0, bytes = 0;
};

using Tallies = std::unordered_map<uint16_t, Tally>;

void AddTo(Tallies &tallies, const TallyRule &rule, const uint8_t *value, uint32_t flags)
{
	uint16_t numbers[2];
	memcpy(numbers, value + rule.numbers, sizeof numbers);
	if (numbers[0] == 0 && numbers[1] == 0)
		return;
	uint64_t packets = 0, bytes = 0;
	for (size_t dir = 0; dir < 2; dir++) {
		if ((flags & (dir == 0 ? rule.second_only : rule.first_only)) != 0)
			continue;
		packets += Load<uint32_t>(value + rule.packets + dir * sizeof(uint32_t));
		bytes += Load<uint64_t>(value + rule.bytes + dir * sizeof(uint64_t));
	}
	for (size_t side = 0; side < 2; side++) {
		if (numbers[side] == 0 || (side == 1 && numbers[1] == numbers[0]))
			continue;
		Tally &tally = tallies[numbers[side]];
		tally.flows += (flags & rule.second_only) == 0 ? 1 : 0;
		tally.packets += packets;
		tally.bytes += bytes;
	}
}

/// Flows whose initiator asked for one of these ends and that began before the time of that end.
struct AimRule {
	uint32_t created;    // offset
	uint32_t other_ends; // flags of entries whose responder is not whom the initiator asked for
	std::map<std::string, uint32_t, std::less<>> ends; // time by address, port, protocol, as they are in memory

	static constexpr size_t kEnd = kAddress + sizeof(uint16_t) + 1;

	static std::optional<AimRule> Read(const Fields &fields, size_t value_bytes)
	{
		if (!fields.Has("aimed"))
			return std::nullopt;
		Fields aimed(fields.Get("aimed"), fields.Title("aimed"));
		AimRule rule{aimed.Offset("created", sizeof(uint32_t), value_bytes), aimed.U32("otherEnds"), {}};
		Bytes all = aimed.Raw("ends", kEnd + sizeof(uint32_t));
		for (size_t at = 0; at < all.size(); at += kEnd + sizeof(uint32_t))
			rule.ends.emplace(std::string(reinterpret_cast<const char *>(&all[at]), kEnd),
					  Load<uint32_t>(&all[at + kEnd]));
		return rule;
	}

	bool Matches(const End &end, uint8_t proto, uint32_t began) const
	{
		std::array<char, kEnd> text{};
		memcpy(text.data(), end.address.data(), kAddress);
		memcpy(text.data() + kAddress, &end.port, sizeof end.port);
		text.back() = static_cast<char>(proto);
		auto found = ends.find(std::string_view(text.data(), text.size()));
		return found != ends.end() && static_cast<int32_t>(found->second - began) > 0;
	}
};

struct SweepJob {
	SharedMap map;
	uint32_t proto = 0, flags = 0, last_seen = 0; // offsets
	uint32_t now = 0;
	std::vector<IdleRule> rules{};
	std::vector<Pattern> counters{};
	std::vector<uint32_t> address_offsets{};
	size_t address_size = 0;
	std::set<std::string, std::less<>> addresses{};
	std::optional<PairRule> pairs{};
	uint32_t noted_mask = 0; // flags of which a deleted entry is noted, with the number at an offset
	uint32_t noted_offset = 0;
	std::optional<TallyRule> tally{};
	std::optional<AimRule> aimed{};

	FlowState StateOf(const uint8_t *value) const
	{
		return {Load<uint16_t>(value + flags), Idle(now, Load<uint32_t>(value + last_seen))};
	}

	bool Touches(const uint8_t *key) const
	{
		return std::any_of(address_offsets.begin(), address_offsets.end(), [&](uint32_t offset) {
			return addresses.contains(
				std::string_view(reinterpret_cast<const char *>(key) + offset, address_size));
		});
	}

	bool IsAimed(const uint8_t *key, const uint8_t *value, uint32_t entry_flags) const
	{
		if (!aimed || !pairs || (entry_flags & aimed->other_ends) != 0)
			return false;
		return aimed->Matches(pairs->Responder(key, entry_flags), key[proto],
				      Load<uint32_t>(value + aimed->created));
	}

	bool IsIdle(uint32_t entry_proto, const FlowState &state) const
	{
		auto rule = std::find_if(rules.begin(), rules.end(), [&](const IdleRule &each) {
			return each.pattern.Matches(entry_proto, state.flags);
		});
		return rule != rules.end() && state.idle > rule->limit;
	}
};

struct SweepResult {
	size_t entries = 0;
	size_t deleted = 0;
	std::vector<double> counts{};
	std::map<std::string, uint32_t, std::less<>> noted{}; // by key: an entry can be met twice in one batch
	bool tallied = false;
	Tallies live{}, ended{};
};

class Sweeper
{
public:
	explicit Sweeper(const SweepJob &job) : job_(job), maps_{job.map}
	{
		if (job.pairs)
			maps_.insert(maps_.end(), job.pairs->table.maps().begin(), job.pairs->table.maps().end());
		result_.counts.assign(job.counters.size(), 0);
		result_.tallied = job.tally.has_value();
	}

	SweepResult Run()
	{
		const MapShape &shape = job_.map.shape;
		WalkMap(job_.map.fd->get(), shape, [&](const uint8_t *keys, const uint8_t *values, size_t count) {
			for (size_t i = 0; i < count; i++)
				Judge(keys + i * shape.key_size, values + i * shape.value_bytes);
			Flush();
		});
		return std::move(result_);
	}

private:
	void Judge(const uint8_t *key, const uint8_t *value)
	{
		FlowState state = job_.StateOf(value);
		const uint32_t own_flags = state.flags;
		std::optional<FlowEntry> partner;
		// When both together are over, one of them is by itself: each rule asks for flags that one entry has.
		const bool may_be_orphan = MayBeOrphan(state);
		const bool forced = job_.Touches(key) || job_.IsAimed(key, value, own_flags);
		if (job_.pairs && (forced || may_be_orphan || job_.IsIdle(key[job_.proto], state)))
			partner = job_.pairs->Partner(key, value, own_flags);
		if (partner) {
			FlowState other = job_.StateOf(partner->value.data());
			state = {state.flags | other.flags, std::min(state.idle, other.idle)};
		}
		if (!forced && !(may_be_orphan && !partner) && !job_.IsIdle(key[job_.proto], state)) {
			CountLive(key, value);
			return;
		}
		Burial burial{{GraveOf(0, key, value)}, forced};
		// Judged alone later, the other one would miss what this one has seen.
		if (partner) {
			burial.graves.push_back(GraveOf(1 + partner->map, partner->key.data(), partner->value.data()));
		}
		dead_.push_back(std::move(burial));
	}

	void CountLive(const uint8_t *key, const uint8_t *value)
	{
		const uint32_t flags = Load<uint16_t>(value + job_.flags);
		result_.entries++;
		if (job_.tally)
			AddTo(result_.live, *job_.tally, value, flags);
		for (size_t n = 0; n < job_.counters.size(); n++)
			result_.counts[n] += job_.counters[n].Matches(key[job_.proto], flags) ? 1 : 0;
	}

	/// An entry for replies of a masqueraded flow, to whose initiator nothing leads without the other entry.
	bool MayBeOrphan(const FlowState &state) const
	{
		return job_.pairs && job_.pairs->masquerade && job_.pairs->masquerade->IsReply(state.flags) &&
		       state.idle > job_.pairs->masquerade->grace;
	}

	/// An entry as it was when it was judged.
	struct Grave {
		size_t map;
		Bytes key;
		Bytes value;
	};

	/// What goes together: both entries of a flow. `forced`: whatever has become of them.
	struct Burial {
		std::vector<Grave> graves;
		bool forced;
	};

	Grave GraveOf(size_t map, const uint8_t *key, const uint8_t *value) const
	{
		const MapShape &shape = maps_[map].shape;
		return {map, Bytes(key, key + shape.key_size), Bytes(value, value + shape.value_bytes)};
	}

	void Flush()
	{
		for (const Burial &burial : dead_) {
			const bool is_back =
				!burial.forced && std::any_of(burial.graves.begin(), burial.graves.end(),
							      [&](const Grave &each) { return IsBack(each); });
			if (is_back || !Remove(burial))
				CountLive(burial.graves.front().key.data(), burial.graves.front().value.data());
		}
		dead_.clear();
	}

	/// Has a packet used the entry since? A client may begin a new connection from the port of one that is over.
	bool HasChanged(const Grave &grave, const Bytes &value) const
	{
		return Load<uint16_t>(&value[job_.flags]) != Load<uint16_t>(&grave.value[job_.flags]) ||
		       Load<uint32_t>(&value[job_.last_seen]) != Load<uint32_t>(&grave.value[job_.last_seen]);
	}

	bool IsBack(const Grave &grave) const
	{
		Bytes value(grave.value.size());
		return bpf_map_lookup_elem(maps_[grave.map].fd->get(), grave.key.data(), value.data()) == 0 &&
		       HasChanged(grave, value);
	}

	/// False, with everything as it was, if a packet has used one of the entries this very moment.
	bool Remove(const Burial &burial)
	{
		std::vector<std::pair<const Grave *, Bytes>> removed;
		for (const Grave &grave : burial.graves) {
			std::optional<Bytes> last = Take(grave);
			if (!last)
				continue;
			removed.emplace_back(&grave, std::move(*last));
			if (burial.forced || !HasChanged(grave, removed.back().second))
				continue;
			for (const auto &[each, value] : removed) {
				bpf_map_update_elem(maps_[each->map].fd->get(), each->key.data(), value.data(),
						    BPF_NOEXIST);
			}
			return false;
		}
		for (const auto &[grave, value] : removed)
			Note(*grave);
		return true;
	}

	/// Deletes an entry. Its last value, as far as the kernel tells (5.14); nullopt: it is gone already.
	std::optional<Bytes> Take(const Grave &grave) const
	{
		const int fd = maps_[grave.map].fd->get();
		Bytes last(grave.value.size());
		const int error = bpf_map_lookup_and_delete_elem(fd, grave.key.data(), last.data());
		if (error == 0)
			return last;
		if (error != -ENOENT && bpf_map_delete_elem(fd, grave.key.data()) == 0)
			return grave.value;
		return std::nullopt;
	}

	void Note(const Grave &grave)
	{
		const uint32_t flags = Load<uint16_t>(&grave.value[job_.flags]);
		result_.deleted++;
		if ((flags & job_.noted_mask) != 0) {
			result_.noted.insert_or_assign(std::string(grave.key.begin(), grave.key.end()),
						       Load<uint32_t>(&grave.value[job_.noted_offset]));
		}
		if (job_.tally)
			AddTo(result_.ended, *job_.tally, grave.value.data(), flags);
	}

	const SweepJob &job_;
	SweepResult result_;
	std::vector<SharedMap> maps_; // the map itself, then those of the pairs
	std::vector<Burial> dead_{};  // of this batch
};

/// Rows of four: number, flows, packets, bytes.
Napi::Value TalliesToJs(Napi::Env env, const Tallies &tallies)
{
	Napi::Float64Array js = Napi::Float64Array::New(env, tallies.size() * 4);
	size_t at = 0;
	for (const auto &[number, tally] : tallies) {
		js[at++] = number;
		js[at++] = static_cast<double>(tally.flows);
		js[at++] = static_cast<double>(tally.packets);
		js[at++] = static_cast<double>(tally.bytes);
	}
	return js;
}

Napi::Value ResultToJs(Napi::Env env, SweepResult &&result)
{
	Napi::Object js = Napi::Object::New(env);
	js.Set("entries", Napi::Number::New(env, static_cast<double>(result.entries)));
	js.Set("deleted", Napi::Number::New(env, static_cast<double>(result.deleted)));
	Napi::Array counts = Napi::Array::New(env, result.counts.size());
	for (uint32_t i = 0; i < result.counts.size(); i++)
		counts.Set(i, result.counts[i]);
	js.Set("counts", counts);
	Napi::Array noted = Napi::Array::New(env, result.noted.size());
	uint32_t at = 0;
	for (const auto &[key, number] : result.noted)
		noted.Set(at++, number);
	js.Set("noted", noted);
	if (result.tallied) {
		js.Set("live", TalliesToJs(env, result.live));
		js.Set("ended", TalliesToJs(env, result.ended));
	}
	return js;
}

void ReadRules(const Fields &fields, SweepJob &job)
{
	std::vector<uint32_t> rules = fields.Words("rules", 4);
	for (size_t i = 0; i < rules.size(); i += 4) {
		job.rules.push_back({{rules[i], rules[i + 1], rules[i + 2]}, LimitOf(rules[i + 3])});
	}
	std::vector<uint32_t> counters = fields.Words("counters", 3);
	for (size_t i = 0; i < counters.size(); i += 3)
		job.counters.push_back({counters[i], counters[i + 1], counters[i + 2]});
}

void ReadAddresses(const Fields &fields, SweepJob &job)
{
	job.address_size = fields.U32("addressSize");
	job.address_offsets = fields.Words("addressOffsets", 1);
	for (uint32_t offset : job.address_offsets) {
		if (offset + job.address_size > job.map.shape.key_size)
			throw ArgError(fields.Title("addressOffsets") + ": an address would end beyond the key");
	}
	if (job.address_offsets.empty() || job.address_size == 0) {
		job.address_offsets.clear();
		return;
	}
	Bytes all = fields.Raw("addresses", job.address_size);
	for (size_t at = 0; at < all.size(); at += job.address_size)
		job.addresses.emplace(reinterpret_cast<const char *>(&all[at]), job.address_size);
}

Napi::Value SweepMap(const Napi::CallbackInfo &info)
{
	MapHandle &map = HandleArg<MapHandle>(info, 0, "map");
	Fields fields(info[1], "sweep");
	SweepJob job{.map = SharedMap::Of(map)};
	job.proto = fields.Offset("proto", 1, map.shape().key_size);
	job.flags = fields.Offset("flags", sizeof(uint16_t), map.shape().value_bytes);
	job.last_seen = fields.Offset("lastSeen", sizeof(uint32_t), map.shape().value_bytes);
	job.now = fields.U32("now");
	ReadRules(fields, job);
	ReadAddresses(fields, job);
	job.noted_mask = fields.U32("notedMask");
	job.noted_offset =
		fields.Offset("notedOffset", job.noted_mask == 0 ? 0 : sizeof(uint32_t), map.shape().value_bytes);
	job.tally = TallyRule::Read(fields, map.shape().value_bytes);
	job.pairs = PairRule::Read(fields, job.flags);
	if (job.pairs && job.pairs->table.shape().value_bytes != map.shape().value_bytes)
		throw ArgError("sweep.pairs.maps: expected maps of the same layout");
	job.aimed = AimRule::Read(fields, map.shape().value_bytes);
	if (job.aimed && !job.pairs)
		throw ArgError("sweep.aimed: pairs say which end began a flow");
	return RunAsync<SweepResult>(
		info.Env(), "fairlead:sweep", [job = std::move(job)] { return Sweeper(job).Run(); }, ResultToJs);
}

struct MoveJob {
	SharedMap from;
	SharedMap to;
	uint32_t flags = 0; // offset
	uint32_t mask = 0;
	std::optional<PairRule> pairs{};

	bool Wants(const uint8_t *key, const uint8_t *value) const
	{
		auto own = Load<uint16_t>(value + flags);
		if ((own & mask) != 0 || !pairs)
			return (own & mask) != 0;
		std::optional<FlowEntry> partner = pairs->Partner(key, value, own);
		return partner && (Load<uint16_t>(&partner->value[flags]) & mask) != 0;
	}
};

/// @returns what was moved as `deleted`, what stays as `entries`.
SweepResult Move(const MoveJob &job)
{
	const MapShape &shape = job.from.shape;
	SweepResult result;
	bool full = false;
	Bytes moved;
	WalkMap(job.from.fd->get(), shape, [&](const uint8_t *keys, const uint8_t *values, size_t count) {
		moved.clear();
		for (size_t i = 0; i < count; i++) {
			const uint8_t *key = keys + i * shape.key_size;
			const uint8_t *value = values + i * shape.value_bytes;
			result.entries++;
			if (full || !job.Wants(key, value))
				continue;
			int rc = bpf_map_update_elem(job.to.fd->get(), key, value, BPF_NOEXIST);
			full = rc == -E2BIG;
			if (full)
				continue;
			if (rc != -EEXIST)
				Check(rc, "BPF_MAP_UPDATE_ELEM", job.to.shape.Title() + ": cannot add an entry");
			moved.insert(moved.end(), key, key + shape.key_size);
		}
		size_t gone = DeleteMapBatch(job.from.fd->get(), shape, moved);
		result.deleted += gone;
		result.entries -= gone;
	});
	return result;
}

/// Entries that have one of the flags go to another map of the same layout, as far as there is room.
Napi::Value MoveMap(const Napi::CallbackInfo &info)
{
	MapHandle &from = HandleArg<MapHandle>(info, 0, "from");
	MapHandle &to = HandleArg<MapHandle>(info, 1, "to");
	if (from.shape().key_size != to.shape().key_size || from.shape().value_bytes != to.shape().value_bytes)
		throw ArgError("to: expected a map of the same layout");
	Fields fields(info[2], "move");
	MoveJob job{.from = SharedMap::Of(from), .to = SharedMap::Of(to)};
	job.flags = fields.Offset("flags", sizeof(uint16_t), from.shape().value_bytes);
	job.mask = fields.U32("mask");
	job.pairs = PairRule::Read(fields, job.flags);
	return RunAsync<SweepResult>(
		info.Env(), "fairlead:move", [job = std::move(job)] { return Move(job); }, ResultToJs);
}

} // namespace

void ExportCtGc(Napi::Object exports)
{
	Export<SweepMap>(exports, "mapSweep");
	Export<MoveMap>(exports, "mapMove");
}

} // namespace fairlead
