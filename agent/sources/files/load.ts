/**
 * Text of one file → objects and problems. Never throws, whatever the text is.
 * Documents are separated before they are parsed: a fault in one does not reach the next, and only documents that
 * changed are parsed again.
 */
import { parseDocument, type YAMLParseError } from 'yaml';
import { errorMessage } from '../../model/errors.ts';
import type { FieldIssue } from '../../model/fields.ts';
import type { KubernetesObject } from '../objects.ts';
import { identityOf, itemsOfList, readObject } from '../objects.ts';

export interface FileProblem {
	readonly file: string;
	/** Line the document starts at, from 1; of a document that is no YAML the line at which it ceases to be. */
	readonly line: number;
	/** 'Service default/web', or 'document' when it cannot be told. */
	readonly object: string;
	/** Field path; '' = the object or the document itself. */
	readonly path: string;
	readonly message: string;
	/** An earlier version of the object is used on. */
	readonly keptLastGood: boolean;
}

export interface FileContent {
	/** By identity ('Service default/web'), in the order of the file. */
	readonly objects: ReadonlyMap<string, KubernetesObject>;
	readonly problems: readonly FileProblem[];
	/** Objects of kinds that are not used here. */
	readonly ignored: readonly string[];
	/** Results by document text, for the next version of the file. */
	readonly documents: ReadonlyMap<string, DocumentContent>;
}

interface DocumentFault {
	readonly object: string;
	/** undefined = nobody knows which object it was meant to be. */
	readonly identity: string | undefined;
	/** Lines between the beginning of the document and the fault, where they are known. */
	readonly lines?: number;
	readonly issues: readonly FieldIssue[];
}

export interface DocumentContent {
	readonly objects: readonly KubernetesObject[];
	readonly faults: readonly DocumentFault[];
	readonly ignored: readonly string[];
}

/**
 * @param previous  what the file held before: the source of last good versions and of parsed documents
 */
export function loadFile(file: string, text: string, previous: FileContent | undefined): FileContent {
	const objects = new Map<string, KubernetesObject>();
	const problems: FileProblem[] = [];
	const ignored: string[] = [];
	const documents = new Map<string, DocumentContent>();
	const faults: { line: number; fault: DocumentFault }[] = [];
	for (const { line, text: documentText } of splitDocuments(text)) {
		const content = documents.get(documentText) ?? previous?.documents.get(documentText) ?? loadDocument(documentText);
		documents.set(documentText, content);
		ignored.push(...content.ignored);
		faults.push(...content.faults.map((fault) => ({ line: line + (fault.lines ?? 0), fault })));
		for (const object of content.objects) {
			const identity = identityOf(object.kind, object.key);
			if (!objects.has(identity)) objects.set(identity, object);
			else problems.push(problem(file, line, identity, '', 'is in this file twice; the first one counts', false));
		}
	}
	for (const { line, fault } of faults) {
		const kept = keepLastGood(fault, objects, previous);
		for (const { path, message } of fault.issues) problems.push(problem(file, line, fault.object, path, message, kept));
	}
	return { objects, problems, ignored, documents };
}

/** A file that cannot be read keeps everything it held. */
export function keepFile(file: string, reason: string, previous: FileContent | undefined): FileContent {
	const problems = [problem(file, 1, 'file', '', reason, (previous?.objects.size ?? 0) > 0)];
	return { objects: new Map(), ignored: [], documents: new Map(), ...previous, problems };
}

/**
 * Puts back what a faulty document held before. When nobody knows which object that was, all objects that have
 * disappeared from the file are kept: one of them is meant.
 */
function keepLastGood(
	fault: DocumentFault,
	objects: Map<string, KubernetesObject>,
	previous: FileContent | undefined,
): boolean {
	if (previous === undefined) return false;
	if (fault.identity !== undefined) {
		const good = previous.objects.get(fault.identity);
		if (good === undefined || objects.has(fault.identity)) return false;
		objects.set(fault.identity, good);
		return true;
	}
	let kept = false;
	for (const [identity, object] of previous.objects) {
		if (objects.has(identity)) continue;
		objects.set(identity, object);
		kept = true;
	}
	return kept;
}

function problem(
	file: string,
	line: number,
	object: string,
	path: string,
	message: string,
	keptLastGood: boolean,
): FileProblem {
	return { file, line, object, path, message, keptLastGood };
}

/** One line for people and logs: file, object, field, what is wrong, what happens. */
export function formatFileProblem(each: FileProblem): string {
	const field = each.path === '' ? '' : `${each.path}: `;
	const kept = each.keptLastGood ? '; the last good version stays in force' : '';
	return `${each.file}:${each.line}: ${each.object}: ${field}${each.message}${kept}`;
}

/** Documents with the line each starts at; empty ones (comments only) are left out. */
export function splitDocuments(text: string): { line: number; text: string }[] {
	const documents: { line: number; text: string }[] = [];
	let lines: string[] = [];
	let start = 1;
	const finish = (): void => {
		if (lines.some((line) => !/^\s*(#.*)?$|^%|^\.\.\.\s*$|^---\s*(#.*)?$/.test(line))) {
			documents.push({ line: start, text: lines.join('\n') });
		}
	};
	for (const [i, line] of text.split(/\r?\n/).entries()) {
		if (/^---(\s|$)/.test(line)) {
			finish();
			lines = [];
			start = i + 1;
		}
		lines.push(line);
	}
	finish();
	return documents;
}

function loadDocument(text: string): DocumentContent {
	let value = parseJson(text);
	if (value === undefined) {
		const parsed = parseYaml(text);
		if ('fault' in parsed) return faulty(parsed);
		value = parsed.value;
	}
	const content = { objects: [] as KubernetesObject[], faults: [] as DocumentFault[], ignored: [] as string[] };
	collect(value, content);
	return content;
}

/** JSON is YAML, and its parser is a hundred times faster; undefined = not JSON. */
function parseJson(text: string): unknown {
	if (!/^\s*(---\s)?\s*\{/.test(text)) return undefined;
	try {
		return JSON.parse(text.replace(/^\s*---/, ''));
	} catch {
		return undefined;
	}
}

interface YamlFault {
	readonly fault: string;
	readonly lines?: number;
}

function parseYaml(text: string): { readonly value: unknown } | YamlFault {
	try {
		const document = parseDocument(text, { prettyErrors: true, logLevel: 'silent' });
		const [error] = document.errors;
		return error === undefined ? { value: document.toJS() } : placed(error);
	} catch (thrown) {
		// toJS refuses alias bombs; absurd nesting exhausts the stack.
		return { fault: firstLine(errorMessage(thrown)) };
	}
}

function collect(
	value: unknown,
	content: { objects: KubernetesObject[]; faults: DocumentFault[]; ignored: string[] },
): void {
	if (value === null || value === undefined) return;
	for (const item of itemsOfList(value) ?? [value]) {
		const result = readObject(item);
		if (result.outcome === 'object') content.objects.push(result.object);
		else if (result.outcome === 'ignored') content.ignored.push(result.name);
		else content.faults.push({ object: result.name, identity: result.identity, issues: result.issues });
	}
}

/** The line goes where problems have theirs: the parser counts from the beginning of the document. */
function placed({ message, linePos }: YAMLParseError): YamlFault {
	const fault = firstLine(message).replace(/ at line \d+, (column \d+)$/, ', $1');
	return linePos === undefined ? { fault } : { fault, lines: linePos[0].line - 1 };
}

function faulty({ fault: message, lines = 0 }: YamlFault): DocumentContent {
	return {
		objects: [],
		ignored: [],
		faults: [{ object: 'document', identity: undefined, lines, issues: [{ path: '', message }] }],
	};
}

function firstLine(text: string): string {
	return text.split('\n', 1)[0]?.replace(/:$/, '') ?? text;
}
