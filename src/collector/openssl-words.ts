/**
 * What OpenSSL says, in a line's few words: in a message of Node's it stands as
 * `803CAF85ED7F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/…/ssl3_record.c:350:` and
 * the end of a line, of which the fifth part alone tells something.
 */
const FRAME = /(?:[0-9A-F]+:)?error:[0-9A-F]+:[^:\n]*:[^:\n]*:([^:\n]+):[^\n]*(?:\n|$)/g;

export const openSslWords = (message: string): string => message.replace(FRAME, '$1').trim();
