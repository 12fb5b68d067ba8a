/* err.h - failures of the world, as negative numbers; 0 is success. What a client did wrong is not
 * here but in proto/errors.def. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define OK          0
#define ERR_NOMEM   (-1) /* no memory; nothing was changed */
#define ERR_IO      (-2) /* the system refused; errno says why */
#define ERR_FULL    (-3) /* a bound was reached; try later */
#define ERR_CORRUPT (-4) /* bytes are not what their writer wrote */
#define ERR_LIMIT   (-5) /* asked for more than a limit allows */
#define ERR_INVALID (-6) /* what was given does not have the form it must have */

#endif
