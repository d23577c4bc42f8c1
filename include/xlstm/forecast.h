/** @file
 * Forecasts of time series by a pretrained model of the TiRex-2 family (arXiv 2607.01204): quantiles of the
 * next values of one or many series, with or without covariates, without training on them.
 * docs/forecasting.md begins with five minutes to a forecast and has the mathematics.
 *
 * A series is a table of rows by time: targets, which are forecast; past covariates, known as far as the
 * targets are; future covariates, known over the horizon too. All numbers of a series are floats or all
 * doubles, and NaN where one is missing. There are no dates: who wants a calendar gives it as a future
 * covariate. Series of a call do not see each other.
 */
#ifndef XLSTM_FORECAST_H
#define XLSTM_FORECAST_H

#include "xlstm/config.h"
#include "xlstm/tensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Weights of a forecasting model; any number of forecasters may share them. */
typedef struct xl_forecast_network xlstm_forecast_model;
/** Memory in which forecasts are made. One thread at a time may use it. */
typedef struct xlstm_forecaster xlstm_forecaster;

/** Reads a published model: config.json and model.safetensors. Numbers of a file that are what is asked for
 * are mapped, and so ready at once.
 *  @param out receives the model: yours, NULL on failure; free it with xlstm_forecast_model_free()
 *  @param directory that holds both files
 *  @param weights matrices as they are (XLSTM_WEIGHTS_REAL) or in a smaller type
 *  @return XLSTM_OK; XLSTM_E_IO when one cannot be read; XLSTM_E_FORMAT when one is malformed, or a tensor is
 * missing, unknown or of another shape; XLSTM_E_CONFIG for a configuration that is not supported, by the name
 * of its key; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_forecast_model_load(xlstm_forecast_model **out, const char *directory,
                                                 xlstm_weights weights);
/** Writes config.json and model.safetensors as xlstm_module_save() does.
 *  @param model any
 *  @param directory where to; it is made if it is not there
 *  @return XLSTM_OK; XLSTM_E_IO; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT, also for 8-bit matrices */
XLSTM_API xlstm_status xlstm_forecast_model_save(const xlstm_forecast_model *model, const char *directory);
/** Whether a configuration is of a forecasting model.
 *  @param path a config.json or the directory of one; may be NULL
 *  @return 1: its keys say so; 0: they do not, or it cannot be read */
XLSTM_API int xlstm_is_forecast_model(const char *path);
/** Makes a model with fresh weights, to be trained.
 *  @param out receives the model: yours, NULL on failure; free it with xlstm_forecast_model_free()
 *  @param config a config.json or the directory of one
 *  @param seed of the weights
 *  @return XLSTM_OK; XLSTM_E_IO; XLSTM_E_FORMAT; XLSTM_E_CONFIG, by the name of the key; XLSTM_E_MEMORY;
 *  XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_forecast_model_create(xlstm_forecast_model **out, const char *config,
                                                   uint64_t seed);
/** Frees a model.
 *  @param model may be NULL */
XLSTM_API void xlstm_forecast_model_free(xlstm_forecast_model *model);
/** The most recent values of a series that a model looks at.
 *  @param model may be NULL
 *  @return C, 2048 in published models; 0 for NULL */
XLSTM_API int xlstm_forecast_model_context(const xlstm_forecast_model *model);
/** The steps that a model forecasts in one piece.
 *  @param model may be NULL
 *  @return F, 320 in published models; 0 for NULL */
XLSTM_API int xlstm_forecast_model_horizon(const xlstm_forecast_model *model);
/** The levels of a model's own quantiles, increasing.
 *  @param model may be NULL
 *  @param levels is set to them: borrowed from the model
 *  @return how many, Q; 0 for NULL */
XLSTM_API int xlstm_forecast_model_quantiles(const xlstm_forecast_model *model, const double **levels);

/** A forecaster. All memory is taken here; forecasts take none, unless they roll out.
 *  @param out receives the forecaster: yours, NULL on failure; free it with xlstm_forecaster_free()
 *  @param model borrowed: it must outlive the forecaster
 *  @param rows most rows (targets and covariates of all series together) that are computed at once: one
 * series may have no more, and a call of more is cut into pieces between series. 0: 32
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_forecaster_create(xlstm_forecaster **out, xlstm_forecast_model *model, int rows);
/** Frees a forecaster, not its model.
 *  @param forecaster may be NULL */
XLSTM_API void xlstm_forecaster_free(xlstm_forecaster *forecaster);

/** How a call forecasts. xlstm_forecast_options_init() fills it. */
typedef struct xlstm_forecast_options {
    size_t struct_size;      /**< sizeof(xlstm_forecast_options) */
    const double *quantiles; /**< [quantile_count], levels above 0 and below 1; NULL: the model's own. Those
                                between two of the model's are interpolated, those beyond are its outermost */
    int quantile_count;      /**< of `quantiles` */
    int horizon;             /**< H, steps to forecast, at least 1 */
    int roll;        /**< 1: a horizon beyond the model's is reached by appending medians to the targets and
                        going on from there, as often as needed. That is this library's own way, not the
                        model's: its quantiles there are of the steps after that median path, and so too
                        close together. 0: such a horizon is refused */
    int allow_empty; /**< 1: a series without any target value gets what the model makes of nothing,
                        numbers around 0, as its package does; 0: it is refused */
    int pad_context; /**< 1: windows are the model's whole context, whatever the lengths (the model was
                        trained so); 0: as long as the longest series of the call */
    int flip;        /**< 1: the mean of this forecast and the negated one of the negated series, at twice
                        the work; 0: not; -1: as the model's configuration says */
    int difference;  /**< 1: targets with a clear trend are forecast by their differences; 0: not; -1: as
                        the model's configuration says */
    int sort; /**< 1: the quantiles of a step are put in order, so that none cross; 0: as the model has them
               */
} xlstm_forecast_options;

/** As xlstm_forecast_options_init(), of a struct of this size: a later version of the library has more
 * fields.
 *  @param options is filled; what it has beyond the library's own fields becomes zero
 *  @param size sizeof(xlstm_forecast_options) of the caller; a size that it cannot have, and NULL, change
 * nothing
 */
XLSTM_API void xlstm_forecast_options_init_sized(xlstm_forecast_options *options, size_t size);
/** Fills options: the model's own quantiles, a horizon of 1, `pad_context` 1, `flip` and `difference` -1, the
 *  rest 0.
 *  @param options is filled */
static inline void xlstm_forecast_options_init(xlstm_forecast_options *options) {
    xlstm_forecast_options_init_sized(options, sizeof *options);
}

/** One series. Zero it, then set what you have. Arrays are borrowed for the call. */
typedef struct xlstm_series {
    xlstm_dtype dtype;  /**< XLSTM_F32 or XLSTM_F64: of all its arrays, and of its forecast */
    int length;         /**< T, at least 1 */
    int targets;        /**< rows of `target`, at least 1 */
    int past_rows;      /**< rows of `past`, or 0 */
    int future_rows;    /**< rows of `future`, or 0 */
    int future_length;  /**< columns of `future`, at least T + H; what lies behind them is not read */
    const void *target; /**< [targets, length] */
    const void *past;   /**< [past_rows, length] or NULL */
    const void *future; /**< [future_rows, future_length] or NULL */
} xlstm_series;

enum {
    XLSTM_FORECAST_SENTENCE = 256 /**< bytes of a sentence about one series, with the zero */
};

/** What comes out for one series: arrays of yours, and how it went. */
typedef struct xlstm_forecast {
    void *quantiles;     /**< [targets, quantiles, horizon] of the series' dtype, or NULL. They may cross */
    void *median;        /**< [targets, horizon] of the series' dtype, or NULL: quantile 0.5 */
    xlstm_status status; /**< is set: XLSTM_OK, or why there is no forecast: XLSTM_E_ARGUMENT for sizes and
                            NULL, XLSTM_E_NUMERIC for a series that has no values, or infinite ones */
    char error[XLSTM_FORECAST_SENTENCE]; /**< is set: empty, or one sentence about it */
} xlstm_forecast;

/** Forecasts of many series, of any lengths. A series that cannot be forecast says why in its own result, and
 *  the others are forecast nevertheless. Numbers of a series
 *  depend on the others of the call by rounding alone (without `pad_context` on the longest length too), and
 * not at all on the number of threads or on earlier calls.
 *  @param forecaster whose memory is used
 *  @param options how
 *  @param series [count]
 *  @param count at least 1
 *  @param forecasts [count], whose arrays are filled; those of a series that fails are left as they are
 *  @return XLSTM_OK when all were forecast; else the first status of one that was not, with its sentence.
 * XLSTM_E_ARGUMENT where the call itself makes no sense (nothing is written then), also for a horizon beyond
 * the model's without `roll`; XLSTM_E_CONFIG for `flip` of a model whose quantiles are not symmetric;
 * XLSTM_E_MEMORY when rolling out */
XLSTM_API xlstm_status xlstm_forecaster_run(xlstm_forecaster *forecaster,
                                            const xlstm_forecast_options *options, const xlstm_series *series,
                                            int count, xlstm_forecast *forecasts);

/** A stage of a forecast, for a check against other programs.
 *  @param context as it was given
 *  @param name "stage.tokens", "stage.embed", "stage.time.0", "stage.variate.0", ..., "stage.norm",
 * "stage.head", and in double "rows.loc", "rows.scale", "stage.level" and "stage.window"
 *  @param rows of the series that are computed at once: targets, past and future covariates, series by series
 *  @param columns numbers of a row: those of all its tokens, one after the other; of a level or a window
 * quantile by quantile
 *  @param reals [rows, columns] or NULL; borrowed for the call
 *  @param doubles [rows, columns], where reals is NULL */
typedef void xlstm_forecast_stage(void *context, const char *name, int rows, int columns,
                                  const xlstm_real *reals, const double *doubles);
/** Shows every stage of the forecasts that follow, at the cost of computing each a second time, whole: all
 * tokens of all rows, whatever the forecast needs of them. Takes memory for it. Not of the negated series.
 *  @param forecaster may be NULL: nothing is done
 *  @param stage is called for every stage of every piece; NULL: no more
 *  @param context for it */
XLSTM_API void xlstm_forecaster_watch(xlstm_forecaster *forecaster, xlstm_forecast_stage *stage,
                                      void *context);

#ifdef __cplusplus
}
#endif

#endif
