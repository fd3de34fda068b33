/**
 * All conditions of a set as one program.
 */
import type * as Cel from "../Cel.ts"
import { Fault, fault } from "../cel/Issue.ts"
import type { PolicyInput } from "./Policy.ts"

/** Decides conditions by their position. */
export class FlatProgram {
  private readonly programs: ReadonlyArray<Cel.Program>
  private input: Cel.Input = {}

  constructor(programs: ReadonlyArray<Cel.Program>, _budget: number) {
    this.programs = programs
  }

  begin(input: PolicyInput): void {
    this.input = input as Cel.Input
  }

  end(): void {
    this.input = {}
  }

  decide(at: number): boolean | Fault {
    const v = this.programs[at]?.evaluate(this.input)
    return typeof v === "boolean" || v instanceof Fault
      ? v
      : fault("not_a_boolean", "the condition is no bool")
  }
}
