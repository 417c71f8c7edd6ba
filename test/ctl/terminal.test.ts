/** The command line as a person meets it: tables, questions, the shell. Needs tmux. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findProgram } from '../harness/find.ts'
import { programs } from '../harness/paths.ts'
import { type Server, startServer } from '../harness/server.ts'
import { startTerminal, type Terminal } from '../harness/tmux.ts'

describe.skipIf(findProgram('tmux') === undefined)('on a terminal', () => {
  let server: Server
  const terminals: Terminal[] = []

  beforeAll(async () => {
    server = await startServer()
    await server.must('register', 'alice', 'localhost', 'secret')
    await server.must('add_rosteritem', 'alice', 'localhost', 'bob', 'localhost', 'Bob', 'Friends', 'both')
  })
  afterEach(async () => {
    for (const terminal of terminals.splice(0)) await terminal.stop()
  })
  afterAll(() => server.stop())

  async function terminal(...words: string[]): Promise<Terminal> {
    const command = [process.execPath, programs.gatehousectl, '--socket', server.socket, ...words]
    const opened = await startTerminal(command, { NO_COLOR: '1' })
    terminals.push(opened)
    return opened
  }

  test('a list is a table with headings', async () => {
    const screen = await (await terminal('get_roster', 'alice', 'localhost')).shows('bob@localhost')
    expect(screen).toContain(
      'jid            nick  subscription  ask   group\nbob@localhost  Bob   both          none  Friends\n',
    )
  })

  test('nothing at all is said to be nothing, and a no is only a no', async () => {
    const empty = await terminal('connected_users_info')
    await empty.shows(/^\(nothing\)$/m)
    const watched = await terminal('watch', 'connected_users_info')
    await watched.shows(/^every 2 s: connected_users_info .*\n\n\(nothing\)$/m)
    await watched.press('C-c')
    const no = await terminal('trace', 'nobody@localhost')
    expect(await no.shows('User nobody@localhost does not exist')).not.toContain('(nothing)')
  })

  test('a password that is missing is asked for twice, and never shown', async () => {
    const screen = await terminal('register', 'carol', 'localhost')
    await screen.shows('password:')
    await screen.type('sesame')
    await screen.press('Enter')
    await screen.shows('password again:')
    await screen.type('sesame')
    await screen.press('Enter')
    const end = await screen.shows('User carol@localhost successfully registered')
    expect(end).not.toContain('sesame')
    expect(await server.must('check_password', 'carol', 'localhost', 'sesame')).toContain('is correct')
    expect(server.log()).not.toContain('sesame')
  })

  test('what destroys asks first', async () => {
    const screen = await terminal('unregister', 'alice', 'localhost')
    await screen.shows('User alice@localhost would be removed, with 1 contacts and 0 sessions. Go on? (y/N)')
    await screen.press('Enter')
    await screen.shows('Nothing was done.')
    expect(await server.must('check_account', 'alice', 'localhost')).toBe('User alice@localhost exists')
    const many = await terminal('delete_old_users', '0', '--except', 'bob@localhost')
    await many.shows('delete_old_users 0 --except bob@localhost. Go on? (y/N)')
    const copy = join(server.dataDir, 'copy.sqlite')
    await server.must('backup', copy)
    const all = await terminal('restore', copy)
    expect(await all.shows(/^\? Go on\? \(y\/N\)/m)).toMatch(/^ {4}accounts then: \d+ \(localhost: \d+\)$/m)
    const nobody = await terminal('unregister', 'nobody', 'localhost')
    await nobody.shows(/^User nobody@localhost does not exist$/m)
  })

  test('missing arguments are asked for, with what there is to choose from', async () => {
    const screen = await terminal('stats')
    await screen.shows('onlineusersnode')
    await screen.press('Down', 'Down', 'Enter')
    await screen.shows(/^\d+$/m)
  })

  test('users are looked for while they are typed, and others can be named', async () => {
    await server.must('register', 'zoe', 'localhost', 'secret')
    const screen = await terminal('check_account')
    await screen.shows('❯ alice')
    await screen.type('zo')
    await screen.shows('❯ zoe')
    await screen.press('Enter')
    await screen.shows('host (host of the account): (localhost)')
    await screen.press('Enter')
    await screen.shows('User zoe@localhost exists')
    const other = await terminal('check_account')
    await other.shows('❯ alice')
    await other.type('ghost')
    await other.shows('❯ ghost')
    await other.press('Enter')
    await other.shows('host (host of the account): (localhost)')
    await other.press('Enter')
    await other.shows('User ghost@localhost does not exist')
  })

  test('a batch has a bar and a sum', async () => {
    const line = 'set_loglevel info\n'
    const file = join(server.dataDir, 'lines')
    writeFileSync(file, line.repeat(100_000))
    const screen = await terminal('batch', file)
    await screen.shows(/^\[#+-+\] +\d+ % {2}line \d+: \d+ done$/m)
    await screen.press('C-c')
    // Ctrl-C ends the shell around it as well, so tmux shows the end of what was said.
    await screen.shows(/lines --from \d+/)
  })

  test('the shell completes, runs, asks, and keeps answers out of its history', async () => {
    const screen = await terminal('shell')
    await screen.shows('gatehouse>')
    await screen.type('check_acc')
    await screen.press('Tab')
    await screen.shows('check_account')
    await screen.type('al')
    await screen.press('Tab')
    await screen.shows('check_account alice')
    await screen.type('localhost')
    await screen.press('Enter')
    await screen.shows('User alice@localhost exists')
    await screen.type('change_password alice localhost')
    await screen.press('Enter')
    await screen.shows('newpass:')
    await screen.type('open')
    await screen.press('Enter')
    await screen.shows('newpass again:')
    await screen.type('open')
    await screen.press('Enter')
    await screen.shows('successfully changed')
    await screen.press('Up')
    await screen.shows(/gatehouse> change_password alice localhost\s*$/)
    await screen.press('C-u')
    await screen.type('nosuch')
    await screen.press('Enter')
    const end = await screen.shows('command "nosuch" not known')
    expect(end).not.toContain('"open"')
    await screen.press('C-d')
  })
})
