/** UNIX sockets that programs listen on: what is left of a crash is cleared away, permissions hold before anybody can connect. */
import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { maxSocketPath } from './config/checks.ts'
import { reason } from './config/load-yaml.ts'

/** A socket cannot be opened; the message is a sentence for the administrator. */
export class UnixSocketError extends Error {
  override readonly name = 'UnixSocketError'
}

export interface UnixSocketOptions {
  /** What it is for people: "control socket". */
  readonly what: string
  readonly path: string
  /** Permissions. */
  readonly mode: number
  /** A group's name or number. */
  readonly group?: string | undefined
}

/** Connections that may wait to be accepted: a pool of relays starts all at once, and has no patience for "try again". */
const backlog = 2_048

/** A socket that nobody answers on was left behind by a crash. */
export async function removeStale({ what, path }: UnixSocketOptions): Promise<void> {
  const bytes = Buffer.byteLength(path)
  if (bytes > maxSocketPath) {
    throw new UnixSocketError(
      `the ${what}'s path ${path} has ${bytes} bytes; a UNIX socket may have ${maxSocketPath}`,
    )
  }
  const there = await stat(path).catch(() => undefined)
  if (!there) return
  if (!there.isSocket())
    throw new UnixSocketError(`${path} is there and is no socket; move it out of the way`)
  if (await somebodyAnswers(path)) {
    throw new UnixSocketError(`a server is running already: somebody answers on ${path}`)
  }
  await unlink(path).catch((error: unknown) => {
    throw new UnixSocketError(`the old ${what} ${path} cannot be removed: ${reason(error)}`)
  })
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const finish = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(2_000, () => finish(true)) // connected or full: somebody has it open
    socket.once('connect', () => finish(true))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

/**
 * Listens in a folder of our own that nobody else can enter, sets permissions and group, and only then puts the socket where
 * others find it: nobody can connect before the permissions hold. Returns the socket's inode.
 */
export async function listenAt(
  server: Server,
  { what, path, mode, group }: UnixSocketOptions,
): Promise<number> {
  let folder: string
  try {
    folder = await mkdtemp(join(dirname(path), '.'))
  } catch (error) {
    throw new UnixSocketError(`the ${what} ${path} cannot be made: ${reason(error)} (${dirname(path)})`)
  }
  try {
    const hidden = join(folder, 's')
    if (Buffer.byteLength(hidden) > maxSocketPath) {
      throw new UnixSocketError(`the ${what}'s path ${path} is too long`)
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path: hidden, backlog }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    if (group !== undefined) await chown(hidden, -1, await groupId(group, what))
    await chmod(hidden, mode)
    await rename(hidden, path)
    return (await stat(path)).ino
  } catch (error) {
    server.close()
    if (error instanceof UnixSocketError) throw error
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === 'EPERM' && group !== undefined ? `the server may not give it to group ${group}` : reason(error)
    throw new UnixSocketError(`the ${what} ${path} cannot be made: ${why}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Permissions and group of a socket that is there. */
export async function setPermissions({ what, path, mode, group }: UnixSocketOptions): Promise<void> {
  try {
    if (group !== undefined) await chown(path, -1, await groupId(group, what))
    await chmod(path, mode)
  } catch (error) {
    if (error instanceof UnixSocketError) throw error
    throw new UnixSocketError(`the ${what} ${path} cannot be changed: ${reason(error)}`)
  }
}

/** Removes the socket's file, unless another server has taken the path over. */
export async function unlinkSocket(path: string, inode: number): Promise<void> {
  const there = await stat(path).catch(() => undefined)
  if (there?.ino === inode) await unlink(path).catch(() => undefined)
}

/** Node has no look-up of groups by name. */
async function groupId(group: string, what: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group)
  const entries = await promisify(execFile)('getent', ['group', group]).then(
    ({ stdout }) => stdout,
    () => readFile('/etc/group', 'utf8').catch(() => ''),
  )
  const entry = entries
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group)
  if (entry?.[2] === undefined) throw new UnixSocketError(`there is no group '${group}' for the ${what}`)
  return Number(entry[2])
}
