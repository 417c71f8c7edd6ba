/** What the commands about accounts share. */
import type { Accounts } from '../../server-core/accounts/accounts.ts'

/** The command said no, in a sentence. */
export class Refusal extends Error {}

/** The account that a command is about; it need not exist. */
export interface Account {
  readonly jid: string
  readonly user: string
  readonly host: string
  readonly accounts: Accounts
}

/** No command waits longer for the database or a hash, in milliseconds. */
export const timeout = 30_000
