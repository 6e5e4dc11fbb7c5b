/**
 * A certificate authority of its own and a server certificate, made with openssl(1).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

export interface TlsFiles {
	readonly ca: string;
	readonly cert: string;
	readonly key: string;
}

function openssl(...args: string[]): void {
	execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/**
 * Makes a CA unless the directory has one, and a certificate for these names; PEM texts.
 * @param names  addresses and DNS names
 */
export function makeTls(directory: string, names: readonly string[]): TlsFiles {
	const [caKey, caCert, key, request, cert, extensions] = [
		'ca.key',
		'ca.crt',
		'tls.key',
		'tls.csr',
		'tls.crt',
		'ext',
	].map((name) => join(directory, name)) as [string, string, string, string, string, string];
	if (!existsSync(caCert)) {
		openssl('req', '-x509', ...CURVE, '-keyout', caKey, '-out', caCert, '-days', '30', '-subj', '/CN=test-ca');
	}
	openssl('req', ...CURVE, '-keyout', key, '-out', request, '-subj', '/CN=kube-apiserver');
	const san = names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',');
	writeFileSync(extensions, `subjectAltName=${san}\nextendedKeyUsage=serverAuth\n`);
	openssl(
		'x509',
		'-req',
		'-in',
		request,
		'-CA',
		caCert,
		'-CAkey',
		caKey,
		'-out',
		cert,
		'-days',
		'30',
		'-extfile',
		extensions,
	);
	return { ca: readFileSync(caCert, 'utf8'), cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}
