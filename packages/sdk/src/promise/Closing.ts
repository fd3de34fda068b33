/**
 * What an agent that closes ends: the streams that somebody reads, and every call after it.
 *
 * A stream is stopped by its agent's closing or by its signal, settled first (GOVERN-2), and its `for await` ends with
 * an error: one that ended in silence would look complete.
 */
import { AgentClosed } from "../AgentClosed.ts"
import { isDenied } from "../Denials.ts"
import { Rejected } from "../internal/Rejected.ts"

/** How long closing waits for what a stream of the program's does at its end. Milliseconds. */
const patience = 2000

/** The streams of an agent that somebody reads. */
export class OpenStreams {
  readonly #stops = new Set<(reason: unknown) => Promise<unknown>>()
  #closed = false

  get closed(): boolean {
    return this.#closed
  }

  /** The elements, until they end, the reader leaves, the signal aborts or all are closed. */
  async *read<A>(all: AsyncIterable<A>, signal?: AbortSignal): AsyncGenerator<A, void, undefined> {
    if (this.#closed) throw new AgentClosed()
    signal?.throwIfAborted()
    const elements = all[Symbol.asyncIterator]()
    const stopping = new AbortController()
    const stop = async (reason: unknown) => {
      stopping.abort(reason)
      // What its end rejects with reaches the reader's `next`, or nobody.
      await elements.return?.().catch(() => {})
    }
    const abort = () => stop(signal?.reason)
    signal?.addEventListener("abort", abort, { once: true })
    this.#stops.add(stop)
    try {
      for await (const element of { [Symbol.asyncIterator]: () => elements }) {
        if (stopping.signal.aborted) break
        yield element
      }
    } catch (error) {
      if (!stopping.signal.aborted || isDenied(error)) throw error instanceof Rejected ? error.cause : error
    } finally {
      this.#stops.delete(stop)
      signal?.removeEventListener("abort", abort)
    }
    stopping.signal.throwIfAborted()
  }

  /** Stops them all, and lets no more begin. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#stops.size === 0) return
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, patience)
    await Promise.race([Promise.all([...this.#stops].map((stop) => stop(new AgentClosed()))), late])
    clearTimeout(timer)
  }
}
