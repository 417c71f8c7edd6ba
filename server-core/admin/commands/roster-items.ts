/** What the roster commands share: the service that changes rosters, and the words for the state of an item. */
import { CommandError } from '../../extend/command.ts'
import type { RosterService } from '../../extend/provided.ts'
import type { RosterItem, Subscription } from '../../storage/storage.ts'
import type { AdminServer } from '../admin-server.ts'

export const subscriptions: readonly Subscription[] = ['none', 'from', 'to', 'both']

export function rosterService(server: AdminServer, name: string): RosterService {
  const service = server.provided(name, 'roster')
  if (!service) throw new CommandError(`Module mod_roster is not loaded on host ${name}`)
  return service
}

/** ejabberd's word for what is pending. */
export function askOf(item: RosterItem): 'none' | 'in' | 'out' | 'both' {
  if (item.pendingIn !== undefined) return item.pendingOut ? 'both' : 'in'
  return item.pendingOut ? 'out' : 'none'
}
