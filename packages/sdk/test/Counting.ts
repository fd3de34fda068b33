import { Effect, Layer } from "effect"
import { accepted, EventTransport } from "../src/events/EventTransport.ts"
import { ReportTransport } from "../src/events/ReportTransport.ts"

/** A platform that takes everything and counts: `agent-1`, `agent-2`, ... are in order. */
export const counting = (taken: () => void = () => {}) => {
  const books = { events: 0, last: 0, disorder: 0 }
  const layer = Layer.merge(
    Layer.succeed(EventTransport, {
      to: "counter",
      send: (events) =>
        Effect.sync(() => {
          for (const event of events) {
            const n = Number(event.fields["agent_id"]?.slice("agent-".length))
            if (n !== books.last + 1) books.disorder += 1
            books.last = n
          }
          books.events += events.length
          taken()
          return events.map(() => accepted)
        })
    }),
    Layer.succeed(ReportTransport, {
      to: "counter",
      send: (reports) => Effect.succeed({ deliveries: reports.map(() => accepted), failed: undefined })
    })
  )
  return { books, layer }
}
