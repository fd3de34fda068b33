/**
 * Governed streams: an entry of its own, since effect's `Stream` takes longer to import than the SDK does.
 *
 * ```ts
 * import { governedStream } from "@agion/sdk/stream"
 *
 * const answer = tokens.pipe(governedStream("chat", modelId, { content: prompt }))
 * ```
 */
export { type GovernedStreamOptions, governedStream, type TextIn } from "./GovernedStream.ts"
