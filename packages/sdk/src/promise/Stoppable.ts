/**
 * What a stream's work gives, as something that can be stopped: leaving it aborts the signal that the work was given,
 * also while an element is under way.
 */
import type { GovernedCall } from "../Governance.ts"
import { InputInvalid } from "../InputInvalid.ts"
import { isRecord, wrong } from "../internal/OptionRules.ts"
import type { PromiseCall } from "./index.ts"

const expected = "a function that gives an async iterable or a ReadableStream"

/** What is wrong with what work gave; a promise or a list is most likely meant as a stream. */
const unstreamable = (given: unknown): InputInvalid => {
  const { problem } = wrong("work", expected, given)
  return new InputInvalid({ input: "work", problem: `${problem}; make it an \`async function*\`` })
}

const isAsyncIterable = <A>(given: unknown): given is AsyncIterable<A> =>
  isRecord(given) && typeof given[Symbol.asyncIterator] === "function"

/** The elements of what `work` gives. */
export const stoppable = <A>(
  call: GovernedCall,
  work: (call: PromiseCall) => AsyncIterable<A> | ReadableStream<A>
): AsyncIterable<A> => {
  const stop = new AbortController()
  const given: unknown = work({ ...call, signal: stop.signal })
  if (!isAsyncIterable<A>(given)) throw unstreamable(given)
  return {
    [Symbol.asyncIterator]: () => {
      const elements = given[Symbol.asyncIterator]()
      let isOver = false
      const next = async (): Promise<IteratorResult<A>> => {
        try {
          const result = await elements.next()
          isOver ||= result.done === true
          return result
        } catch (error) {
          isOver = true
          throw error
        }
      }
      const leave = async (): Promise<IteratorResult<A>> => {
        if (!isOver) stop.abort()
        await elements.return?.()
        return { done: true, value: undefined }
      }
      return { next, return: leave }
    }
  }
}
