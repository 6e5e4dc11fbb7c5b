/**
 * Runs inside the emulated machine, started by init.sh. On the kernel's command line: `fairlead.short` leaves out what `npm test` has no time
 * for, `fairlead.only=options|vxlan|direct` runs one part.
 */
import { readFileSync } from 'node:fs';
import { probe } from '../../native/index.ts';
import { tryOptions } from './options.ts';
import { tell } from './report.ts';
import { tryDirect, tryVxlan } from './traffic.ts';

const features = probe();
const has = Object.entries(features).filter(([, value]) => value === true);
const lacks = Object.entries(features).filter(([, value]) => value === false);
tell('note', `has ${has.map(([name]) => name).join(', ')}`);
tell('note', `lacks ${lacks.map(([name]) => name).join(', ') || 'nothing'}`);
if (features.btf) tell('pass', 'probe: has type information');
else tell('fail', 'probe: has no type information');
const commandLine = readFileSync('/proc/cmdline', 'utf8');
const short = commandLine.includes('fairlead.short');
const only = /fairlead\.only=(\w+)/.exec(commandLine)?.[1];
const isWanted = (part: string): boolean => only === undefined || only === part;
if (isWanted('options')) await tryOptions(features, short);
if (isWanted('vxlan')) await tryVxlan();
// next hops are neighbours here, which the kernel or the agent keeps fresh; with VXLAN they are not asked for
if (isWanted('direct') && !short) await tryDirect();
