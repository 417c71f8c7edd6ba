/** The table of commands. To add one: a file in this folder and a line here. */
import type { AddCommand } from '../context.ts'
import { account } from './account.ts'
import { check } from './check.ts'
import { daemon } from './daemon.ts'
import { doctor } from './doctor.ts'
import { moved } from './moved.ts'
import { test } from './test.ts'

const commands: readonly AddCommand[] = [account, check, daemon, doctor, moved, test]

export const addCommands: AddCommand = (program, context, done) => {
  for (const add of commands) add(program, context, done)
}
