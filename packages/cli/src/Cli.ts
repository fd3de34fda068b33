/** The `agion` command: arguments in, layers chosen, lines out. */
import { Command } from "effect/cli"
import { dev, serve } from "./Dev.ts"
import { dlpCommand } from "./DlpCommands.ts"
import { keys, secrets } from "./Keys.ts"
import { agents, approvals, approve, deny, trust } from "./Operator.ts"
import { policy } from "./PolicyCommands.ts"

/** All commands. */
export const agion = Command.make("agion").pipe(
  Command.withDescription("Governs AI agents: decides, limits, remembers"),
  Command.withSubcommands([
    dev,
    serve,
    approvals,
    approve,
    deny,
    trust,
    agents,
    keys,
    secrets,
    policy,
    dlpCommand
  ])
)
