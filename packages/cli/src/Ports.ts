/** Ports of this machine. */

import { createServer } from "node:net"
import { Effect } from "effect"

/** True when somebody listens on a port of an address. What else keeps it from being used is not told here. */
export const isTaken = (port: number, host = "127.0.0.1"): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) => {
      resume(Effect.succeed(error.code === "EADDRINUSE"))
    })
    server.listen(port, host, () => {
      server.close(() => resume(Effect.succeed(false)))
    })
    return Effect.sync(() => {
      server.close()
    })
  })
