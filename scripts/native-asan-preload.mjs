/**
 * Loaded by every Node.js process of scripts/native-asan.sh. The test runner ends its processes by SIGTERM and, half a
 * second later, by SIGKILL; LeakSanitizer looks only when a process exits by itself, and takes longer than that.
 */
import { ChildProcess } from 'node:child_process';

const patienceMs = 60_000;
const { kill } = ChildProcess.prototype;

process.on('SIGTERM', () => process.reallyExit(0));

ChildProcess.prototype.kill = function (signal) {
	if (signal !== 'SIGKILL') return kill.call(this, signal);
	setTimeout(() => kill.call(this, signal), patienceMs).unref();
	return true;
};
