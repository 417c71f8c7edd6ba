/** Debian's profile for ejabberd, which may forbid it to start programs that it does not know. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type Finding, warning, wrong } from '../findings.ts'

const profile = '/etc/apparmor.d/usr.sbin.ejabberdctl'
const local = '/etc/apparmor.d/local/usr.sbin.ejabberdctl'

/** `root`: the folder that has etc and sys; '' is the machine's own. */
export function judgeAppArmor(program: string, root = ''): Finding[] {
  const text = read(root + profile)
  const allowed = read(root + local)
  if (text === undefined || (allowed ?? '').includes(basename(program))) return []
  const loaded = read(`${root}/sys/kernel/security/apparmor/profiles`)
  const mode = /^\S*ejabberdctl \((\w+)\)/m.exec(loaded ?? '')?.[1]
  const isComplaining = mode === 'complain' || (mode === undefined && /flags=\([^)]*complain/.test(text))
  const remedy = `add to ${local}:\n${program} Ux,\nthen: apparmor_parser -r ${profile}`
  if (mode === 'enforce')
    return [wrong(`AppArmor's profile of ejabberd forbids it to start ${program}`, remedy)]
  if (loaded !== undefined && mode === undefined) return []
  const says = isComplaining
    ? `AppArmor's profile of ejabberd only complains now; enforced it would forbid ${program}`
    : `AppArmor's profile of ejabberd does not know ${program}`
  return [warning(says, remedy)]
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
