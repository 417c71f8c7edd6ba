/** service_admin_extra: the commands that administrators know from MongooseIM's service of that name, by families. */
import { z } from 'zod'
import { extraFamilies } from '../admin/commands/index.ts'
import { defineService } from '../extend/services.ts'

type Submod = keyof typeof extraFamilies

const submods = Object.keys(extraFamilies) as [Submod, ...Submod[]]

export const serviceAdminExtra = defineService({
  name: 'service_admin_extra',
  doc: 'The administration commands beyond the core ones, by families',
  requires: ['service_cache'],
  options: {
    submods: z.array(z.enum(submods)).default(submods).describe('the families of commands that are wanted'),
  },

  start(service, options) {
    for (const submod of new Set(options.submods)) {
      for (const command of extraFamilies[submod](service.admin)) service.command(command)
    }
  },
})
