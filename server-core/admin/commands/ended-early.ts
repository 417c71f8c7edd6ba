/** What a command says that has done a part of its work and cannot go on. */
import { type Caller, CommandError } from '../../extend/command.ts'
import { StorageUnavailable } from '../../storage/storage.ts'

/** The error to throw: with what was done (`3 of 7 users were deleted`), unless it is a fault of ours. */
export function endedEarly(error: unknown, caller: Caller, done: string): unknown {
  if (caller.signal.aborted) return new CommandError(`cancelled; ${done}`)
  if (!(error instanceof StorageUnavailable || error instanceof CommandError)) return error
  return new CommandError(`${error.message}; ${done}`, { cause: error })
}
