/** Runs inside the emulated machine, started by init.sh. With `fairlead.short` on the kernel's command line it loads fewer option sets. */
import { readFileSync } from 'node:fs';
import { probe } from '../../native/index.ts';
import { tryOptions } from './options.ts';
import { tell } from './report.ts';
import { tryTraffic } from './traffic.ts';

const features = probe();
const has = Object.entries(features).filter(([, value]) => value === true);
const lacks = Object.entries(features).filter(([, value]) => value === false);
tell('note', `has ${has.map(([name]) => name).join(', ')}`);
tell('note', `lacks ${lacks.map(([name]) => name).join(', ') || 'nothing'}`);
if (features.btf) tell('pass', 'probe: has type information');
else tell('fail', 'probe: has no type information');
const short = readFileSync('/proc/cmdline', 'utf8').includes('fairlead.short');
await tryOptions(features, short);
await tryTraffic(short);
