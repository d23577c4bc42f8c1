/** @file
 * Everything: xLSTM networks in C. Start with xlstm_config_init() and xlstm_model_create().
 */
#ifndef XLSTM_H
#define XLSTM_H

#include "xlstm/checkpoint.h"
#include "xlstm/common.h"
#include "xlstm/config.h"
#include "xlstm/forecast.h"
#include "xlstm/io.h"
#include "xlstm/module.h"
#include "xlstm/optim.h"
#include "xlstm/profile.h"
#include "xlstm/recurrence.h"
#include "xlstm/sample.h"
#include "xlstm/session.h"
#include "xlstm/tensors.h"
#include "xlstm/tokenizer.h"
#include "xlstm/train.h"

#endif
