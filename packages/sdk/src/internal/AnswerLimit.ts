/** How much of an answer is read: a gateway that never ends one takes no more memory than this. */
import type { Dispatcher } from "@effect/platform-node/Undici"
import { isRecord } from "./OptionRules.ts"

/** Bytes of an answer at most: policies, batches, lists. */
const answerBytes = 16_777_216

/** Bytes of an answer at most that decides one call, or takes what is told. */
const decisionBytes = 1_048_576

/** Characters of one event at most of what is read as it comes. */
export const eventCharacters = 1_048_576

/** An answer was larger than is read; the rest of it was not waited for. */
export class AnswerTooLarge extends Error {
  override readonly name = "AnswerTooLarge"
  constructor(limit: number) {
    super(`an answer of more than ${limit / 1_048_576} MiB`)
  }
}

const decides = /\/permissions\/(?:check|reserve)$|\/events$/

const limitOf = ({ method, path }: Dispatcher.DispatchOptions): number =>
  method === "POST" && decides.test(path) ? decisionBytes : answerBytes

const isEndless = ({ headers }: Dispatcher.DispatchOptions): boolean =>
  isRecord(headers) && headers["accept"] === "text/event-stream"

/** Ends answers that are too large, those at once that say so; what is read as it comes has no end, its events have. */
export const limited: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch(options, isEndless(options) ? handler : counting(handler, limitOf(options)))

/** What a handler throws ends its request. */
const counting = (handler: Dispatcher.DispatchHandler, limit: number): Dispatcher.DispatchHandler => {
  let bytes = 0
  return {
    onRequestStart: (...args) => handler.onRequestStart?.(...args),
    onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
    onResponseStart: (controller, status, headers, text) => {
      if (Number(headers["content-length"]) > limit) throw new AnswerTooLarge(limit)
      handler.onResponseStart?.(controller, status, headers, text)
    },
    onResponseData: (controller, chunk) => {
      bytes += chunk.length
      if (bytes > limit) throw new AnswerTooLarge(limit)
      handler.onResponseData?.(controller, chunk)
    },
    onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
    onResponseError: (...args) => handler.onResponseError?.(...args),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onBodySent: (chunk) => handler.onBodySent?.(chunk),
    onRequestSent: () => handler.onRequestSent?.()
  }
}
