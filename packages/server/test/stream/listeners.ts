/**
 * Many listeners in a process of their own: `node listeners.ts URL ORGANIZATION COUNT`. Says `ready` once all are
 * connected, then for each permission that agent N is told of the line `{"agent", "permission", "at"}`.
 */
import { writeSync } from "node:fs"
import { request } from "node:http"

const [url = "", organization = "", count = "0"] = process.argv.slice(2)
let connected = 0

const listen = (agent: string, next: () => void) => {
  const seen = new Set<string>()
  const query = `agent_id=${agent}&organization_id=${organization}`
  const sent = request(`${url}/api/v1/stream?${query}`, (response) => {
    response.setEncoding("latin1")
    response.once("data", () => {
      connected += 1
      next()
      if (connected === Number(count)) writeSync(1, "ready\n")
    })
    response.on("data", (chunk: string) => {
      // Its own permissions stand in a triple before its name.
      for (let at = chunk.indexOf(`","${agent}","`); at >= 0; at = chunk.indexOf(`","${agent}","`, at + 1)) {
        const permission = chunk.slice(at - 36, at)
        if (seen.has(permission)) continue
        seen.add(permission)
        writeSync(1, `${JSON.stringify({ agent, permission, at: Date.now() })}\n`)
      }
    })
  })
  sent.end()
}

let started = 0
const more = () => {
  if (started < Number(count)) listen(`agent-${started++}`, more)
}
for (let i = 0; i < 20; i++) more()
