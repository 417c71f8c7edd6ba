/** What the process edge gives to the program and its commands. */
import type { Readable, Writable } from 'node:stream'
import type { Command } from 'commander'
import type { Output } from './serve.ts'

export interface ExtauthContext {
  readonly words: readonly string[]
  /** Whether a person sits at standard input. */
  readonly isTerminal: boolean
  /** For what is typed or piped to a command; requests come from `openRequests`, and only one of the two may be used. */
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  /** Standard input as the server has it. */
  openRequests(): Readable
  /** Standard output as the server has it; nothing else may be written there when serving. */
  openAnswers(): Output
  onSignal(signals: readonly NodeJS.Signals[], handler: (signal: NodeJS.Signals) => void): void
  onFault(handler: (error: unknown) => void): void
  /** Ends at once. */
  exit(status: number): void
  /** How many threads libuv has. */
  readonly threads: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly pid: number
  /** Undefined where there are no user ids. */
  readonly uid: number | undefined
  /** The program that runs this. */
  readonly node: string
}

/** Adds a command; `done` takes its exit status. */
export type AddCommand = (program: Command, context: ExtauthContext, done: (status: number) => void) => void
