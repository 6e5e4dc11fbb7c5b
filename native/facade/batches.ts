/** Batches of records as native threads hand them over. */

/**
 * @param onRecords    gets each batch once; the arrays are views of one buffer that nobody else uses
 * @param acknowledge  asks for the next batch; called in a later turn of the event loop
 * @param later        how much later, which may depend on how many records there were
 */
export function deliverBatches(
	onRecords: (records: Uint8Array[]) => void,
	acknowledge: () => void,
	later: (task: () => void, records: number) => void = (task) => setImmediate(task),
): (bytes: Uint8Array, spans: Uint32Array) => void {
	return (bytes, spans) => {
		later(acknowledge, spans.length / 2);
		const records: Uint8Array[] = [];
		for (let i = 0; i + 1 < spans.length; i += 2) {
			const offset = spans[i] ?? 0;
			records.push(bytes.subarray(offset, offset + (spans[i + 1] ?? 0)));
		}
		try {
			onRecords(records);
		} catch (error) {
			// Thrown through native code it would only be a warning; from here it is an uncaught exception like any other.
			setImmediate(() => {
				throw error;
			});
		}
	};
}
