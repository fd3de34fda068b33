/**
 * In which order a process tells of changes: epoch after epoch, none left out, whatever the order in which it
 * hears of its own and of those of other replicas (FRESH-2). Plain state, no effects.
 *
 * A change that does not follow on what was told is a gap: its caller reads what lies between, or jumps, which
 * tells everybody to drop all of the organization.
 */
import type { EpochMessage } from "@agion/domain"

/** A change after its commit, or a heartbeat. */
export interface Announced {
  readonly organizationId: string
  readonly message: EpochMessage
}

/** `late`: of an epoch at or before the one with which this process began; what was read since holds it already. */
export type Tell = (announced: Announced, late: boolean) => void

export interface Order {
  /** The epoch up to which every change has been told or was read; undefined: nothing is known yet. */
  readonly applied: (organizationId: string) => number | undefined
  /**
   * Begins with an epoch that was read from the database, unless there is a beginning. False: the beginning is
   * later, so that what was read at `epoch` may lack changes that will not be told.
   */
  readonly begin: (organizationId: string, epoch: number) => boolean
  /** Tells of a change unless it was told. False: changes before it are missing, and nothing was told. */
  readonly take: (announced: Announced) => boolean
  /** Goes to an epoch, perhaps back to it, and tells everybody to drop all of the organization. */
  readonly jump: (organizationId: string, epoch: number, timestamp: string) => void
  /** Everybody drops everything; nothing is known any more. */
  readonly forget: (timestamp: string) => void
}

interface Standing {
  readonly begun: number
  applied: number
}

/** The order of all organizations; of `capacity` the oldest is forgotten, which drops all of it. */
export const make = (tell: Tell, capacity: number): Order => {
  const standings = new Map<string, Standing>()

  const stand = (organizationId: string, epoch: number): Standing => {
    if (standings.size >= capacity && !standings.has(organizationId)) {
      const [oldest] = standings
      if (oldest !== undefined) {
        standings.delete(oldest[0])
        tell(reset(oldest[0], oldest[1].applied, new Date(0).toISOString()), false)
      }
    }
    const standing = { begun: epoch, applied: epoch }
    standings.set(organizationId, standing)
    return standing
  }

  const jump = (organizationId: string, epoch: number, timestamp: string): Standing => {
    const standing = stand(organizationId, epoch)
    tell(reset(organizationId, epoch, timestamp), false)
    return standing
  }

  return {
    applied: (organizationId) => standings.get(organizationId)?.applied,
    begin: (organizationId, epoch) => {
      const { begun } = standings.get(organizationId) ?? stand(organizationId, epoch)
      return epoch >= begun
    },
    take: (announced) => {
      const { organizationId, message } = announced
      let standing = standings.get(organizationId)
      // Whoever reads just now, before this process has begun, may lack what came before.
      if (standing === undefined && message.previous > 0)
        standing = jump(organizationId, message.previous, message.timestamp)
      standing ??= stand(organizationId, message.previous)
      if (message.epoch <= standing.applied) {
        if (message.epoch <= standing.begun) tell(announced, true)
        return true
      }
      if (message.previous > standing.applied) return false
      standing.applied = message.epoch
      tell(announced, false)
      return true
    },
    jump,
    forget: (timestamp) => {
      const all = [...standings]
      standings.clear()
      for (const [id, { applied }] of all) tell(reset(id, applied, timestamp), false)
    }
  }
}

/** Without ids a message means everything. */
const reset = (organizationId: string, epoch: number, timestamp: string): Announced => ({
  organizationId,
  message: { previous: epoch, epoch, kind: "organization", ids: [], timestamp }
})
