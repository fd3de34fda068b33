/** Ports of this machine. */

import { createServer } from "node:net"
import { Effect } from "effect"

/** True when nobody listens on a loopback port. */
export const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => {
      server.close(() => resume(Effect.succeed(true)))
    })
    return Effect.sync(() => {
      server.close()
    })
  })
