/** Calls of the platform make spans, and name the caller's trace to it, only where that trace is looked at. */
import { Effect } from "effect"
import { HttpClient } from "effect/http"
import { beneath, wanted } from "./Spans.ts"

const always = () => true

/** The same client, silent beneath nothing: polls and heartbeats would be traces of their own otherwise. */
export const quiet = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer) =>
    Effect.withFiber((fiber) =>
      wanted(beneath, fiber) === undefined
        ? Effect.provideService(answer, HttpClient.TracerDisabledWhen, always)
        : answer
    )
  )
