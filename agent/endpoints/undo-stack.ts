/**
 * What has to be taken back when a later step fails. Steps are undone in reverse order, each even if another fails.
 */
export class UndoStack {
	readonly #steps: { readonly what: string; readonly run: () => unknown }[] = [];

	/** @param what  for the error report: 'remove veth fl0123' */
	push(what: string, run: () => unknown): void {
		this.#steps.push({ what, run });
	}

	/** Never throws; every failure goes to `onError`. */
	async unwind(onError: (what: string, error: unknown) => void): Promise<void> {
		for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
			try {
				await step.run();
			} catch (error) {
				onError(step.what, error);
			}
		}
	}
}
