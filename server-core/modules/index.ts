/** The table of modules, and which of them run on a host whose configuration does not say. */
import type { ModuleSpec } from '../extend/gen-mod.ts'
import { modBlocking } from './mod-blocking/mod-blocking.ts'
import { modCputime } from './mod-cputime.ts'
import { modDisco } from './mod-disco.ts'
import { modEcho } from './mod-echo.ts'
import { modLast } from './mod-last.ts'
import { modLegacyAuth } from './mod-legacy-auth.ts'
import { modOffline } from './mod-offline.ts'
import { modPing } from './mod-ping.ts'
import { modPrivate } from './mod-private.ts'
import { modRoster } from './mod-roster/mod-roster.ts'
import { modTime } from './mod-time.ts'
import { modVcard } from './mod-vcard.ts'
import { modVcardXupdate } from './mod-vcard-xupdate.ts'
import { modVersion } from './mod-version.ts'

export const modules: readonly ModuleSpec[] = [
  modBlocking,
  modCputime,
  modDisco,
  modEcho,
  modLast,
  modLegacyAuth,
  modOffline,
  modPing,
  modPrivate,
  modRoster,
  modTime,
  modVcard,
  modVcardXupdate,
  modVersion,
]

/** With their defaults. */
export const defaultModules: Readonly<Record<string, null>> = {
  mod_blocking: null,
  mod_disco: null,
  mod_last: null,
  mod_offline: null,
  mod_ping: null,
  mod_private: null,
  mod_roster: null,
  mod_time: null,
  mod_vcard: null,
  mod_version: null,
}
