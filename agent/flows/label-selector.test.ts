import { describe, expect, it } from 'vitest';
import { parseLabelSelector } from './label-selector.ts';

const labels = { app: 'web', 'example.com/tier': 'front', empty: '' };

describe('parseLabelSelector', () => {
	it.each([
		['app=web', true],
		['app==web', true],
		['app=db', false],
		['app!=db', true],
		['app!=web', false],
		['missing!=x', true],
		['missing=x', false],
		['empty=', true],
		['missing=', false],
		['app', true],
		['missing', false],
		['!missing', true],
		['!app', false],
		['app in (db, web)', true],
		['app in (db)', false],
		['missing in ()', false],
		['app notin (db)', true],
		['app notin (web,db)', false],
		['missing notin (web)', true],
		['missing notin ()', true],
		['app=web,example.com/tier=front', true],
		['app in (web,db),missing', false],
		['k8s:app=web', true],
		['!k8s:app', false],
	])('judges %s as %s', (text, expected) => {
		expect(parseLabelSelector(text)?.(labels)).toBe(expected);
	});

	it.each(['', 'a b', 'a=b=c', '=x', 'app in web', 'app in (a', ',', 'app=web,'])('refuses %j', (text) => {
		expect(parseLabelSelector(text)).toBeUndefined();
	});
});
